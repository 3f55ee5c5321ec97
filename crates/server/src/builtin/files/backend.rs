//! Opens files beneath the directory, and nowhere else.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use cap_primitives::ambient_authority;
use cap_primitives::fs::{OpenOptions, open, open_ambient_dir};
use tokio::io::{AsyncRead, AsyncSeek, ReadBuf};
use tower_http::services::fs::{Backend, File};

type Opened<T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send>>;

/// A directory that no path or link leads out of.
#[derive(Debug, Clone)]
pub(super) struct Beneath {
    root: Arc<PathBuf>,
}

/// A file that was opened beneath the directory.
#[derive(Debug)]
pub(super) struct Regular {
    file: tokio::fs::File,
    metadata: fs::Metadata,
}

// === impl Beneath ===

impl Beneath {
    pub(super) fn new(root: PathBuf) -> io::Result<Self> {
        open_ambient_dir(&root, ambient_authority())?;
        Ok(Self {
            root: Arc::new(root),
        })
    }

    /// Opens a path, without waiting for the other end of a pipe.
    fn find(&self, path: &Path) -> io::Result<(fs::File, fs::Metadata)> {
        if is_hidden(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        // Opened anew for each request, because a new directory may replace it under the same name.
        let root = open_ambient_dir(&self.root, ambient_authority())?;
        let mut options = OpenOptions::new();
        options.read(true)._cap_fs_ext_nonblock(true);
        // A file that cannot be served for any other reason, such as a link out of the directory,
        // is not found for the client; only then are the client's other encodings tried, too.
        let file = open(&root, path, &options).map_err(|error| match error.raw_os_error() {
            Some(_) if is_exhaustion(&error) => error,
            _ => io::ErrorKind::NotFound.into(),
        })?;
        let metadata = file.metadata()?;
        match metadata.is_file() || metadata.is_dir() {
            true => Ok((file, metadata)),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

/// EMFILE and ENFILE: the file may exist.
fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
}

/// Names that begin with a dot are private: repositories, editors' copies, passwords.
fn is_hidden(path: &Path) -> bool {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.as_encoded_bytes()),
        _ => None,
    });
    names
        .enumerate()
        .any(|(at, name)| name.starts_with(b".") && !(at == 0 && name == b".well-known"))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(io::Error::other)?
}

impl Backend for Beneath {
    type File = Regular;
    type Metadata = fs::Metadata;
    type OpenFuture = Opened<Regular>;
    type MetadataFuture = Opened<fs::Metadata>;

    fn open(&self, path: PathBuf) -> Self::OpenFuture {
        let this = self.clone();
        Box::pin(off_thread(move || {
            let (file, metadata) = this.find(&path)?;
            if metadata.is_dir() {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(Regular {
                file: tokio::fs::File::from_std(file),
                metadata,
            })
        }))
    }

    fn metadata(&self, path: PathBuf) -> Self::MetadataFuture {
        let this = self.clone();
        Box::pin(off_thread(move || Ok(this.find(&path)?.1)))
    }
}

// === impl Regular ===

impl File for Regular {
    type Metadata = fs::Metadata;
    type MetadataFuture<'a> = std::future::Ready<io::Result<fs::Metadata>>;

    fn metadata(&self) -> Self::MetadataFuture<'_> {
        std::future::ready(Ok(self.metadata.clone()))
    }
}

impl AsyncRead for Regular {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.file).poll_read(cx, buffer)
    }
}

impl AsyncSeek for Regular {
    fn start_seek(mut self: Pin<&mut Self>, position: io::SeekFrom) -> io::Result<()> {
        Pin::new(&mut self.file).start_seek(position)
    }

    fn poll_complete(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<u64>> {
        Pin::new(&mut self.file).poll_complete(cx)
    }
}
