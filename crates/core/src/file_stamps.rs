use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A snapshot of some files, to detect changes.
///
/// It is taken by polling: the system's notifications are for directories, and none comes if a directory or
/// link on the way to a file is replaced, as Kubernetes does for mounted settings and secrets, and
/// deployments do for releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileStamps(HashMap<PathBuf, Option<Stamp>>);

/// Identifies a file or directory while it exists, whatever its name: device and inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileIdentity {
    device: u64,
    inode: u64,
}

/// The file at a path, links followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    identity: FileIdentity,
    length: u64,
    written: (i64, i64),
    /// Changes even if the modification time is kept (`cp -p`), and with permissions.
    changed: (i64, i64),
}

// === impl FileStamps ===

impl FileStamps {
    /// Looks at these files. Blocks for as long as the disk does.
    #[must_use]
    pub fn take(files: impl IntoIterator<Item = impl AsRef<Path>>) -> Self {
        let stamp = |file: &Path| {
            let found = std::fs::metadata(file).ok();
            (file.to_owned(), found.as_ref().map(Stamp::of))
        };
        Self(files.into_iter().map(|file| stamp(file.as_ref())).collect())
    }

    /// Takes the stamps from `earlier` for files that it has.
    #[must_use]
    pub fn or_earlier(mut self, earlier: &Self) -> Self {
        for (file, stamp) in &mut self.0 {
            *stamp = *earlier.0.get(file).unwrap_or(stamp);
        }
        self
    }
}

// === impl FileIdentity ===

impl FileIdentity {
    /// Returns the identity of the file that this is known of.
    #[must_use]
    pub fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }

    /// Returns the identity of the file at a path, links followed. `None` if there is none, or it cannot be
    /// looked at.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let found = std::fs::metadata(path).ok()?;
        Some(Self::of(&found))
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            identity: FileIdentity::of(found),
            length: found.len(),
            written: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_file_is_another_when_a_link_on_the_way_to_it_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for version in ["v1", "v2"] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("file"), "the same").unwrap();
        }
        symlink("v1", at("current")).unwrap();
        symlink("current/file", at("file")).unwrap();
        let files = [at("file")];
        let before = FileStamps::take(&files);
        assert_eq!(before, FileStamps::take(&files));
        symlink("v2", at("new")).unwrap();
        fs::rename(at("new"), at("current")).unwrap();
        assert_ne!(before, FileStamps::take(&files));
    }

    #[test]
    fn what_is_not_there_is_another_than_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("file")];
        let none = FileStamps::take(&files);
        fs::write(&files[0], "").unwrap();
        let one = FileStamps::take(&files);
        assert_ne!(none, one);
        // Earlier stamps win over later ones.
        assert_eq!(one.clone().or_earlier(&none), none);
        assert_eq!(one.clone().or_earlier(&FileStamps::default()), one);
    }
}
