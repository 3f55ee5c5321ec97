//! WAGI's log files: the unchanged stderr of modules, one file for each route.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_core::FileIdentity;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

/// The largest size of a file, in bytes; before it grows beyond this it is renamed. A pager opens a
/// file of this size at once. WAGI's files grew forever.
const LARGEST: u64 = 10 << 20;

/// The number of old files that are kept, as `module.stderr.1` (the newest) to `module.stderr.4`.
const ASIDE: u32 = 4;

#[derive(Debug)]
pub(crate) struct LogFolder {
    path: PathBuf,
    /// The files by route. A module has few.
    files: Mutex<HashMap<Arc<str>, Arc<LogFile>>>,
}

/// The log file of one route: `{folder}/{SHA-256 of the route, hexadecimal}/module.stderr`, as in WAGI.
///
/// A file that cannot be written is reported once and does not fail requests. (Under WAGI every
/// request failed.)
#[derive(Debug)]
pub(crate) struct LogFile {
    path: PathBuf,
    largest: u64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    file: Option<File>,
    identity: Option<FileIdentity>,
    size: u64,
    failed: bool,
}

impl LogFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            files: Mutex::default(),
        }
    }

    pub(crate) fn file(&self, route: &Arc<str>) -> Arc<LogFile> {
        let mut files = self.files.lock();
        if let Some(file) = files.get(route) {
            return file.clone();
        }
        let file = Arc::new(LogFile::new(path_of(&self.path, route), LARGEST));
        files.insert(route.clone(), file.clone());
        file
    }
}

fn path_of(folder: &Path, route: &str) -> PathBuf {
    let digest = Sha256::digest(route.as_bytes());
    let name: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    folder.join(name).join("module.stderr")
}

impl LogFile {
    fn new(path: PathBuf, largest: u64) -> Self {
        Self {
            path,
            largest,
            open: Mutex::default(),
        }
    }

    /// Appends bytes unchanged.
    ///
    /// Writes on the calling thread: the system keeps a few bytes at the end of a file in memory,
    /// which is not worth another thread. The line is in the file when its request is answered.
    pub(crate) fn append(&self, bytes: &[u8]) {
        let mut open = self.open.lock();
        let written = self.write(&mut open, bytes);
        if let Err(error) = &written
            && !open.failed
        {
            tracing::error!(
                file = %self.path.display(),
                error = %error,
                "cannot write a module's stderr to its log file; it is still in the log"
            );
        }
        open.failed = written.is_err();
    }

    fn write(&self, open: &mut Open, bytes: &[u8]) -> io::Result<()> {
        // Another program may have moved the file, as `logrotate` does, or another version of the
        // module, during a reload.
        if FileIdentity::at(&self.path) != open.identity {
            open.file = None;
        }
        if open.file.is_some() && open.size.saturating_add(bytes.len() as u64) > self.largest {
            open.file = None;
            self.put_aside()?;
        }
        if open.file.is_none() {
            if let Some(folder) = self.path.parent() {
                fs::create_dir_all(folder)?;
            }
            let file = OpenOptions::new()
                .append(true)
                .create(true)
                .open(&self.path)?;
            let metadata = file.metadata()?;
            open.size = metadata.len();
            open.identity = Some(FileIdentity::of(&metadata));
            open.file = Some(file);
        }
        if let Some(file) = &mut open.file {
            file.write_all(bytes)?;
            open.size += bytes.len() as u64;
        }
        Ok(())
    }

    /// Renames the old files to make room for a new one, and overwrites the oldest.
    fn put_aside(&self) -> io::Result<()> {
        for number in (1..ASIDE).rev() {
            match fs::rename(self.aside(number), self.aside(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        fs::rename(&self.path, self.aside(1))
    }

    fn aside(&self, number: u32) -> PathBuf {
        self.path.with_extension(format!("stderr.{number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_has_a_file_by_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogFolder::new(folder.path().join("logs"));
        let route: Arc<str> = "/".into();
        logs.file(&route).append(b"a\n");
        logs.file(&route).append(b"\xff");
        // printf / | sha256sum
        let digest = "8a5edab282632443219e051e4ade2d1d5bbc671c781051bf1437897cbdfea0f1";
        let path = folder
            .path()
            .join("logs")
            .join(digest)
            .join("module.stderr");
        assert_eq!(fs::read(path).unwrap(), b"a\n\xff");
    }

    #[test]
    fn a_file_that_is_large_is_put_aside_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("module.stderr");
        fs::write(&path, "old").unwrap();
        let file = LogFile::new(path.clone(), 4);
        for text in ["1", "22", "33", "4444", "55555", "66", "77", "88", "99"] {
            file.append(text.as_bytes());
        }
        let read = |suffix: &str| {
            fs::read_to_string(folder.path().join(format!("module.stderr{suffix}"))).ok()
        };
        assert_eq!(read("").as_deref(), Some("8899"));
        assert_eq!(read(".1").as_deref(), Some("6677"));
        assert_eq!(read(".2").as_deref(), Some("55555"));
        assert_eq!(read(".3").as_deref(), Some("4444"));
        assert_eq!(read(".4").as_deref(), Some("2233"));
        assert_eq!(read(".5"), None);
    }

    #[test]
    fn a_file_that_another_program_moves_or_replaces_is_made_anew_with_the_next_write() {
        let folder = tempfile::tempdir().unwrap();
        let (path, aside) = (
            folder.path().join("module.stderr"),
            folder.path().join("old"),
        );
        let file = LogFile::new(path.clone(), 100);
        file.append(b"1");
        fs::rename(&path, &aside).unwrap();
        file.append(b"2");
        fs::rename(&path, &aside).unwrap();
        fs::write(&path, "").unwrap();
        file.append(b"3");
        assert_eq!(fs::read(&aside).unwrap(), b"2");
        assert_eq!(fs::read(&path).unwrap(), b"3");
        fs::remove_file(&path).unwrap();
        file.append(b"4");
        assert_eq!(fs::read(&path).unwrap(), b"4");
    }

    #[test]
    fn a_folder_that_cannot_be_made_harms_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        LogFolder::new(file).file(&"/".into()).append(b"a");
    }
}
