//! `read-directory` of `wasi:filesystem@0.3`, without blocking a thread.
//!
//! The stock function has a thread read the whole directory and wait until the guest takes the entries. A guest
//! that takes none keeps the thread, one of those on which all services work with files. Here a thread reads some
//! entries whenever the guest asks for more.

use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::{AtFlags, Dir, DirEntry, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, FutureReader, Linker, Resource, StreamProducer, StreamReader, StreamResult,
    VecBuffer,
};
use wasmtime_wasi::filesystem::Descriptor;
use wasmtime_wasi::p3::bindings::filesystem::types::{DescriptorType, DirectoryEntry, ErrorCode};

use super::files::TYPES_P3;
use crate::guest_state::GuestState;
use crate::open_files::FilePermit;

/// The number of entries read at once, in a millisecond or less.
const AT_ONCE: usize = 256;

type End = Result<(), ErrorCode>;

pub(super) fn add(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.instance(TYPES_P3)?.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, GuestState>, (directory,): (Resource<Descriptor>,)| {
            let state = store.data_mut();
            let directory = match state.table.get(&directory)? {
                Descriptor::Dir(directory) => Ok(Arc::clone(&directory.dir)),
                Descriptor::File(_) => Err(ErrorCode::NotDirectory),
            };
            // The directory is opened a second time for reading.
            let permit = state.files.permit().ok_or(ErrorCode::InsufficientMemory);
            let (ended, end) = oneshot::channel();
            let entries = match directory.and_then(|directory| Ok((directory, permit?))) {
                Ok((directory, permit)) => {
                    let entries = Entries {
                        next: Some(Reader::Closed(directory)),
                        task: None,
                        ended: Some(ended),
                        _permit: permit,
                    };
                    StreamReader::new(&mut store, entries)?
                }
                Err(error) => {
                    // The guest may have dropped the future.
                    let _ = ended.send(Err(error));
                    StreamReader::new(&mut store, std::iter::empty())?
                }
            };
            Ok(((entries, FutureReader::new(&mut store, end)?),))
        },
    )
}

/// The stream of a directory's entries.
struct Entries {
    /// None while entries are being read, and at the end.
    next: Option<Reader>,
    task: Option<JoinHandle<Piece>>,
    ended: Option<oneshot::Sender<End>>,
    _permit: FilePermit,
}

enum Reader {
    Closed(Arc<File>),
    Open(Dir),
}

/// Some entries, and the reader of the rest.
struct Piece {
    entries: Vec<DirectoryEntry>,
    then: Then,
}

enum Then {
    More(Dir),
    End(End),
}

// === impl Entries ===

impl Entries {
    fn end(&mut self, end: End) {
        if let Some(ended) = self.ended.take() {
            // The guest may have dropped the future.
            let _ = ended.send(end);
        }
    }
}

impl StreamProducer<GuestState> for Entries {
    type Item = DirectoryEntry;
    type Buffer = VecBuffer<DirectoryEntry>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, GuestState>,
        mut to: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let this = self.get_mut();
        // A zero-length read. The next real read shows if there is more.
        if to.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        if let Some(reader) = this.next.take() {
            this.task = Some(spawn_blocking(|| reader.read()));
        }
        let Some(task) = &mut this.task else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let piece = match Pin::new(task).poll(cx) {
            Poll::Ready(piece) => piece?,
            // The entries being read are kept for the next read.
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        this.task = None;
        to.set_buffer(piece.entries.into());
        Poll::Ready(Ok(match piece.then {
            Then::More(directory) => {
                this.next = Some(Reader::Open(directory));
                StreamResult::Completed
            }
            Then::End(end) => {
                this.end(end);
                StreamResult::Dropped
            }
        }))
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}

// === impl Reader ===

impl Reader {
    /// Reads the next entries. Blocks.
    fn read(self) -> Piece {
        let mut entries = Vec::new();
        let then = match self.read_into(&mut entries) {
            Ok(Some(directory)) => Then::More(directory),
            Ok(None) => Then::End(Ok(())),
            Err(error) => Then::End(Err(error)),
        };
        Piece { entries, then }
    }

    /// Returns `None` at the end of the directory.
    fn read_into(self, entries: &mut Vec<DirectoryEntry>) -> Result<Option<Dir>, ErrorCode> {
        let mut directory = match self {
            // The descriptor may be opened for its path alone (`O_PATH`), so open it with our own flags.
            Self::Closed(directory) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = openat(&*directory, ".", flags, Mode::empty());
                Dir::new(opened.map_err(code)?).map_err(code)?
            }
            Self::Open(directory) => directory,
        };
        while entries.len() < AT_ONCE {
            let Some(entry) = directory.read() else {
                return Ok(None);
            };
            entries.extend(described(&directory, &entry.map_err(code)?)?);
        }
        Ok(Some(directory))
    }
}

/// Returns `None` for `.` and `..`.
fn described(directory: &Dir, entry: &DirEntry) -> Result<Option<DirectoryEntry>, ErrorCode> {
    let name = entry.file_name();
    if matches!(name.to_bytes(), b"." | b"..") {
        return Ok(None);
    }
    let kind = match entry.file_type() {
        // Some file systems do not report the type.
        FileType::Unknown => {
            let found = statat(
                directory.fd().map_err(code)?,
                name,
                AtFlags::SYMLINK_NOFOLLOW,
            );
            FileType::from_raw_mode(found.map_err(code)?.st_mode)
        }
        kind => kind,
    };
    Ok(Some(DirectoryEntry {
        type_: match kind {
            FileType::RegularFile => DescriptorType::RegularFile,
            FileType::Directory => DescriptorType::Directory,
            FileType::Symlink => DescriptorType::SymbolicLink,
            FileType::Fifo => DescriptorType::Fifo,
            FileType::Socket => DescriptorType::Socket,
            FileType::CharacterDevice => DescriptorType::CharacterDevice,
            FileType::BlockDevice => DescriptorType::BlockDevice,
            FileType::Unknown => DescriptorType::Other(None),
        },
        name: name
            .to_str()
            .map_err(|_| ErrorCode::IllegalByteSequence)?
            .to_owned(),
    }))
}

fn code(error: Errno) -> ErrorCode {
    io::Error::from(error).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::linker::testing::assert_over_the_stock_ones;

    #[test]
    fn this_function_takes_the_place_of_the_stock_one() {
        assert_over_the_stock_ones(&[add]);
    }

    #[test]
    fn a_directory_is_read_in_pieces_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let names: BTreeSet<_> = (0..AT_ONCE + 10).map(|n| n.to_string()).collect();
        for name in &names {
            File::create(directory.path().join(name)).unwrap();
        }
        let file = Arc::new(File::open(directory.path()).unwrap());
        let mut reader = Reader::Closed(file);
        let mut pieces = Vec::new();
        let end = loop {
            let piece = reader.read();
            pieces.push(piece.entries);
            match piece.then {
                Then::More(directory) => reader = Reader::Open(directory),
                Then::End(end) => break end,
            }
        };
        assert!(end.is_ok());
        let lengths: Vec<_> = pieces.iter().map(Vec::len).collect();
        assert_eq!(lengths, [AT_ONCE, 10]);
        let read: BTreeSet<_> = pieces.into_iter().flatten().map(|e| e.name).collect();
        assert_eq!(read, names);
    }
}
