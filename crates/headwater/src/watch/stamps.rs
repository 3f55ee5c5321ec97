use std::collections::HashMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What tells one state of some files from another.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamps(HashMap<PathBuf, Option<Stamp>>);

/// What stands at a path, links followed. Nothing has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    length: u64,
    written: (i64, i64),
    /// Also of what keeps its time when it is written, as by `cp -p`, and of permissions.
    changed: (i64, i64),
}

// === impl Stamps ===

impl Stamps {
    /// Looks at these files; it may take as long as the disk does.
    pub(super) fn take(files: &[PathBuf]) -> Self {
        let stamp = |file: &PathBuf| {
            let found = std::fs::metadata(file).ok();
            (file.clone(), found.as_ref().map(Stamp::of))
        };
        Self(files.iter().map(stamp).collect())
    }

    /// These, and of files that are not among them, the others.
    pub(super) fn or(mut self, others: Self) -> Self {
        for (file, stamp) in others.0 {
            self.0.entry(file).or_insert(stamp);
        }
        self
    }

    /// What is known of these files alone.
    pub(super) fn of(mut self, files: &[PathBuf]) -> Self {
        self.0.retain(|file, _| files.contains(file));
        self
    }
}

// === impl Stamp ===

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
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
        let before = Stamps::take(&files);
        assert_eq!(before, Stamps::take(&files));
        symlink("v2", at("new")).unwrap();
        fs::rename(at("new"), at("current")).unwrap();
        assert_ne!(before, Stamps::take(&files));
    }

    #[test]
    fn what_is_not_there_is_another_than_what_is() {
        let folder = tempfile::tempdir().unwrap();
        let files = [folder.path().join("file")];
        let none = Stamps::take(&files);
        fs::write(&files[0], "").unwrap();
        let one = Stamps::take(&files);
        assert_ne!(none, one);
        // What was known goes before what is there by now.
        assert_eq!(none.clone().or(one), none);
    }
}
