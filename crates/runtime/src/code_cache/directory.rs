//! A directory of compiled code: which files are trusted, how they are written, and how many are kept.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::entry::{self, Key, Unusable, VerifiedCode};

const EXTENSION: &str = ".code";

/// The prefix of files that are still being written, or were when their host crashed.
const UNFINISHED: &str = "unfinished-";

#[derive(Debug)]
pub(super) struct CodeDirectory {
    path: PathBuf,
    purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// A cache of this user. All files together have this size in bytes at most.
    Cache { max_bytes: u64 },
    /// Code that is written once, and read by hosts of other users.
    Ahead,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("this user has no home directory, and XDG_CACHE_HOME is not set")]
    NoHome,
    #[error("`{}` cannot be used: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
    #[error("`{}` cannot be trusted: {why}", path.display())]
    Untrusted { path: PathBuf, why: Untrusted },
}

/// Others who could have written a file or put one into a directory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untrusted {
    #[cfg(unix)]
    #[error("it belongs to another user (uid {0})")]
    Owner(u32),
    #[cfg(unix)]
    #[error("other users may write to it (mode {0:03o}): `chmod go-w` it")]
    Mode(u32),
    #[error("it is not a {0}")]
    Kind(&'static str),
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

// === impl CodeDirectory ===

impl CodeDirectory {
    /// Returns the default path.
    ///
    /// # Errors
    ///
    /// Returns an error if the user has no home directory.
    pub(super) fn default_path() -> Result<PathBuf, DirectoryError> {
        let named = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let caches = match named.filter(|path| path.is_absolute()) {
            Some(caches) => caches,
            None => {
                let home = std::env::home_dir().filter(|home| home.is_absolute());
                home.ok_or(DirectoryError::NoHome)?
                    .join(match cfg!(target_os = "macos") {
                        true => "Library/Caches",
                        false => ".cache",
                    })
            }
        };
        Ok(caches.join("headwater"))
    }

    /// Opens a directory. Creates it, for this user alone, if it does not exist. `max_bytes` limits the
    /// size of all files together.
    ///
    /// # Errors
    ///
    /// Returns an error if it cannot be created, belongs to another user, or is writable by others.
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> Result<Self, DirectoryError> {
        let unusable = |error| DirectoryError::Unusable {
            path: path.clone(),
            error,
        };
        make(&path, 0o700).map_err(unusable)?;
        Self::trust(path, Purpose::Cache { max_bytes })
    }

    /// Opens a directory of code that was compiled ahead of time.
    ///
    /// # Errors
    ///
    /// Returns an error if it does not exist, belongs to another user, or is writable by others.
    pub(super) fn existing(path: PathBuf) -> Result<Self, DirectoryError> {
        Self::trust(path, Purpose::Ahead)
    }

    /// Opens a directory to compile code into. Creates it, readable by all users, if it does not
    /// exist.
    ///
    /// # Errors
    ///
    /// As for [`CodeDirectory::open`].
    pub(super) fn create(path: PathBuf) -> Result<Self, DirectoryError> {
        make(&path, 0o755).map_err(|error| DirectoryError::Unusable {
            path: path.clone(),
            error,
        })?;
        Self::trust(path, Purpose::Ahead)
    }

    fn trust(path: PathBuf, purpose: Purpose) -> Result<Self, DirectoryError> {
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(error) => return Err(DirectoryError::Unusable { path, error }),
        };
        let trusted = match metadata.is_dir() {
            true => trusted(&metadata),
            false => Err(Untrusted::Kind("directory")),
        };
        match trusted {
            Ok(()) => Ok(Self { path, purpose }),
            Err(why) => Err(DirectoryError::Untrusted { path, why }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn path_of(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{key}{EXTENSION}"))
    }

    /// Reads and verifies the code of this key, if it is cached.
    ///
    /// # Errors
    ///
    /// Returns an error if the file exists and cannot be read, could have been written by somebody else,
    /// or is damaged.
    pub(super) fn read(&self, key: &Key) -> Result<Option<VerifiedCode>, ReadError> {
        let path = self.path_of(key);
        let file = match open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Unusable::from(error).into()),
        };
        // The metadata of the opened file. Its name may belong to another file by now.
        let metadata = file.metadata().map_err(Unusable::from)?;
        if !metadata.is_file() {
            return Err(Untrusted::Kind("file").into());
        }
        trusted(&metadata)?;
        if let Purpose::Cache { .. } = self.purpose {
            // Marks the file as recently used. In a read-only directory nothing is removed, so failure
            // does not matter.
            let _ = file.set_modified(SystemTime::now());
        }
        Ok(Some(VerifiedCode::open(key, file, path)?))
    }

    /// Writes the code of this key, replacing an old file, and removes files beyond the size limit.
    ///
    /// # Errors
    ///
    /// Returns an error if the code cannot be written; the old file then stays.
    pub(super) fn write(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        // A unique name keeps two hosts from writing to one file, and
        // readers see the old file meanwhile. It is not flushed to the disk: after a crash the checksum
        // does not match.
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED).suffix(EXTENSION);
        self.purpose.permit(&mut builder);
        let mut file = builder
            .tempfile_in(&self.path)
            // The error without the file name, which differs each time.
            .map_err(|error| io::Error::from(error.kind()))?;
        file.write_all(code)?;
        file.write_all(&entry::trailer(key, code))?;
        file.persist(self.path_of(key))
            .map_err(|error| error.error)?;
        match self.purpose {
            Purpose::Cache { max_bytes } => self.bound(max_bytes),
            Purpose::Ahead => Ok(()),
        }
    }

    /// Returns true if it has files that are not code, besides one of this name.
    pub(super) fn others(&self, but: &str) -> io::Result<bool> {
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            if !name
                .to_str()
                .is_some_and(|name| name == but || is_ours(name))
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Removes all code, except files that are to be kept.
    pub(super) fn remove_unless(&self, kept: impl Fn(&Path) -> bool) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_name().to_str().is_some_and(is_ours) && !kept(&path) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// Removes the least recently used files until the rest is within the limit.
    fn bound(&self, max_bytes: u64) -> io::Result<()> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if !entry.file_name().to_str().is_some_and(is_ours) {
                continue;
            }
            let path = entry.path();
            // Another host may have removed it.
            if let Ok(metadata) = fs::symlink_metadata(&path)
                && let Ok(used) = metadata.modified()
            {
                files.push((used, metadata.len(), path));
            }
        }
        files.sort();
        let mut room = max_bytes;
        for (_, bytes, path) in files.into_iter().rev() {
            match room.checked_sub(bytes) {
                Some(rest) => room = rest,
                None => {
                    room = 0;
                    // Another host may have removed it.
                    let _ = fs::remove_file(path);
                }
            }
        }
        Ok(())
    }
}

// === impl Purpose ===

impl Purpose {
    /// Sets who may read a new file. That of a cache can be read by this user alone.
    #[cfg(unix)]
    fn permit(self, file: &mut tempfile::Builder<'_, '_>) {
        use std::os::unix::fs::PermissionsExt;
        if self == Self::Ahead {
            file.permissions(fs::Permissions::from_mode(0o644));
        }
    }

    #[cfg(not(unix))]
    fn permit(self, _: &mut tempfile::Builder<'_, '_>) {}
}

/// Returns true if a file of this name is compiled code: the directory may contain others.
fn is_ours(name: &str) -> bool {
    name.strip_suffix(EXTENSION)
        .is_some_and(|name| name.starts_with(UNFINISHED) || Key::is_name(name))
}

#[cfg(unix)]
fn make(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let parents = path.parent().map_or(Ok(()), fs::create_dir_all);
    parents?;
    match DirBuilder::new().mode(mode).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(not(unix))]
fn make(path: &Path, _: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Opens a file without following a symbolic link, and without waiting for a writer (a named pipe).
#[cfg(unix)]
fn open(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(rustix::fs::open(path, flags, Mode::empty())?))
}

#[cfg(not(unix))]
fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

/// Checks that only this user and root can have written the file.
#[cfg(unix)]
fn trusted(metadata: &Metadata) -> Result<(), Untrusted> {
    use std::os::unix::fs::MetadataExt;
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(Untrusted::Owner(owner));
    }
    match mode & 0o022 {
        0 => Ok(()),
        _ => Err(Untrusted::Mode(mode)),
    }
}

/// On other systems, access lists keep others out of the user's own directories.
#[cfg(not(unix))]
fn trusted(_: &Metadata) -> Result<(), Untrusted> {
    Ok(())
}
