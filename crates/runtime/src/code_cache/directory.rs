//! The directory: whose files are believed, how they are written, and how many there are.

use std::fs::{self, DirBuilder, File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::entry::{self, Damaged, Key, VerifiedCode};

/// How the names of files end.
const EXTENSION: &str = ".code";

/// How the name of a file begins that is being written, or was when its host crashed.
const UNFINISHED: &str = "unfinished-";

/// The files of compiled code.
pub(super) struct CodeDirectory {
    path: PathBuf,
    max_bytes: u64,
}

/// Why a directory is no place for compiled code.
#[derive(Debug, thiserror::Error)]
pub(super) enum DirectoryError {
    #[error("this user has no home directory, and XDG_CACHE_HOME is not set")]
    NoHome,
    #[error("`{}` cannot be used: {error}", path.display())]
    Unusable { path: PathBuf, error: io::Error },
    #[error("`{}` cannot be trusted: {why}", path.display())]
    Untrusted { path: PathBuf, why: Untrusted },
}

/// Who else could have written a file, or put one into a directory.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Untrusted {
    #[cfg(unix)]
    #[error("it belongs to another user (uid {0})")]
    Owner(u32),
    #[cfg(unix)]
    #[error("other users may write to it (mode {0:03o}): `chmod go-w` it")]
    Mode(u32),
    #[error("it is no {0}")]
    Kind(&'static str),
}

/// Why a file was not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReadError {
    #[error(transparent)]
    Unreadable(io::Error),
    #[error(transparent)]
    Untrusted(#[from] Untrusted),
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

// === impl CodeDirectory ===

impl CodeDirectory {
    /// Where it is unless somebody says otherwise.
    ///
    /// # Errors
    ///
    /// When the user has no home directory.
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

    /// Opens a directory, and makes it if it is not there, for this user alone. In all, its files may
    /// have so many bytes.
    ///
    /// # Errors
    ///
    /// When it cannot be made, belongs to another user, or others may write to it.
    pub(super) fn open(path: PathBuf, max_bytes: u64) -> Result<Self, DirectoryError> {
        let unusable = |error| DirectoryError::Unusable {
            path: path.clone(),
            error,
        };
        make(&path).map_err(unusable)?;
        let metadata = fs::metadata(&path).map_err(unusable)?;
        let trusted = match metadata.is_dir() {
            true => trusted(&metadata),
            false => Err(Untrusted::Kind("directory")),
        };
        match trusted {
            Ok(()) => Ok(Self { path, max_bytes }),
            Err(why) => Err(DirectoryError::Untrusted { path, why }),
        }
    }

    pub(super) fn path_of(&self, key: &Key) -> PathBuf {
        self.path.join(format!("{key}{EXTENSION}"))
    }

    /// Reads and verifies the code of this key, if there is any.
    ///
    /// # Errors
    ///
    /// When there is a file, and it cannot be read, could have been written by somebody else, or is
    /// damaged.
    pub(super) fn read(&self, key: &Key) -> Result<Option<VerifiedCode>, ReadError> {
        let mut file = match open(&self.path_of(key)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(ReadError::Unreadable(error)),
        };
        // Of what was opened, and not of what has the name by now.
        let metadata = file.metadata().map_err(ReadError::Unreadable)?;
        if !metadata.is_file() {
            return Err(Untrusted::Kind("file").into());
        }
        trusted(&metadata)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)
            .map_err(ReadError::Unreadable)?;
        let code = VerifiedCode::open(key, content)?;
        // It goes last. In a directory that may only be read nothing ever goes.
        let _ = file.set_modified(SystemTime::now());
        Ok(Some(code))
    }

    /// Writes the code of this key in place of what is there, and removes what is too much.
    ///
    /// # Errors
    ///
    /// When it cannot be written; then all is as before.
    pub(super) fn write(&self, key: &Key, code: &[u8]) -> io::Result<()> {
        // For this user alone. A name of its own, so that two hosts do not write to one file; and whoever
        // reads meanwhile reads the old one. It is not flushed to the disk: what a crash leaves of it
        // has another checksum.
        let mut file = tempfile::Builder::new()
            .prefix(UNFINISHED)
            .suffix(EXTENSION)
            .tempfile_in(&self.path)
            // Without its name, which is another one each time.
            .map_err(|error| io::Error::from(error.kind()))?;
        file.write_all(&entry::header(key, code))?;
        file.write_all(code)?;
        file.persist(self.path_of(key))
            .map_err(|error| error.error)?;
        self.bound()
    }

    /// Removes the files that were not used for longest, until all have room.
    fn bound(&self) -> io::Result<()> {
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
        let mut room = self.max_bytes;
        for (_, bytes, path) in files.into_iter().rev() {
            match room.checked_sub(bytes) {
                Some(rest) => room = rest,
                None => {
                    room = 0;
                    // Likewise.
                    let _ = fs::remove_file(path);
                }
            }
        }
        Ok(())
    }
}

/// Whether a file of this name is the cache's: somebody may have named a directory that has others.
fn is_ours(name: &str) -> bool {
    name.strip_suffix(EXTENSION)
        .is_some_and(|name| name.starts_with(UNFINISHED) || Key::is_name(name))
}

#[cfg(unix)]
fn make(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let parents = path.parent().map_or(Ok(()), fs::create_dir_all);
    parents?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

#[cfg(not(unix))]
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).create(path)
}

/// Opens a file itself and not what a link of its name leads to, and waits for nobody to write to it.
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

/// Whether only this user and root can have written what has this metadata.
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

/// The user's own directories have access lists that keep others out.
#[cfg(not(unix))]
fn trusted(_: &Metadata) -> Result<(), Untrusted> {
    Ok(())
}
