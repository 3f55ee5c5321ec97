//! Tracks a guest's descriptors: which one is stdout, how many are open, and which paths may be
//! opened.
//!
//! An open file takes one of the host's descriptors, and all services share a thousand or so. A
//! guest that opens too many files gets an error.
//!
//! Opening a named pipe blocks until its other end is opened, and meanwhile occupies one of the
//! threads on which all services work with files. Therefore a path is looked up first, and opened
//! only if it is a regular file or a directory.

use std::collections::HashMap;

use headwater_runtime::{FilePermit, InstanceFiles};
use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock};
use wiggle::{GuestMemory, GuestPtr};

use crate::linker::State;
use crate::vectored::{STDOUT, parts};

#[derive(Debug)]
pub(crate) struct Descriptors {
    /// True if stdout's descriptor was closed or replaced.
    pub(crate) stdout_moved: bool,
    files: InstanceFiles,
    /// The descriptors of files and directories that the guest opened.
    open: HashMap<i32, FilePermit>,
}

type PathOpen = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// The parameters of `path_filestat_set_times`.
type SetTimes = (i32, i32, i32, i32, i64, i64, i32);

/// `lookupflags`: a symbolic link at the end of a path is followed.
const FOLLOW: i32 = 1;

/// Both `oflags` that together create a new file.
const CREATE_NEW: i32 = 1 | 1 << 2;

/// The longest path that Linux accepts, in bytes.
const MAX_PATH: u32 = 4096;

/// The size of a `filestat`, in bytes, and the offset of its type.
const FILESTAT: u8 = 64;
const FILETYPE: usize = 16;

/// The alignment of a `filestat`.
const ALIGNMENT: usize = 8;

/// Values of `filetype`. A symbolic link appears only if it is not followed, and the stock
/// functions refuse it.
const DIRECTORY: u8 = 3;
const REGULAR_FILE: u8 = 4;
const SYMBOLIC_LINK: u8 = 7;

const SUCCESS: i32 = Errno::Success as i32;
const NOT_THERE: i32 = Errno::Noent as i32;

#[derive(Debug, Clone, Copy)]
struct GuestPath {
    directory: i32,
    lookup: i32,
    at: i32,
    length: i32,
}

/// Replaces these functions of `wasi`. The linker must allow it ([`Linker::allow_shadowing`]).
pub(crate) fn add_to_linker(linker: &mut Linker<State>, wasi: &str) -> Result<()> {
    linker.func_wrap_async(
        wasi,
        "path_open",
        |mut caller: Caller<'_, State>, arguments: PathOpen| {
            Box::new(async move { path_open(&mut caller, arguments).await })
        },
    )?;
    linker.func_wrap_async(
        wasi,
        "path_filestat_set_times",
        |mut caller: Caller<'_, State>, arguments: SetTimes| {
            Box::new(async move { set_times(&mut caller, arguments).await })
        },
    )?;
    linker.func_wrap_async(
        wasi,
        "fd_close",
        |mut caller: Caller<'_, State>, (descriptor,): (i32,)| {
            Box::new(async move { fd_close(&mut caller, descriptor).await })
        },
    )?;
    linker.func_wrap_async(
        wasi,
        "fd_renumber",
        |mut caller: Caller<'_, State>, (from, to): (i32, i32)| {
            Box::new(async move { fd_renumber(&mut caller, from, to).await })
        },
    )?;
    Ok(())
}

async fn path_open(caller: &mut Caller<'_, State>, arguments: PathOpen) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let (directory, lookup, at, length, open, rights, inheriting, flags, result) = arguments;
    let path = GuestPath {
        directory,
        lookup,
        at,
        length,
    };
    let Some(permit) = state.descriptors.files.permit() else {
        return Ok(Errno::Mfile as i32);
    };
    // A call that creates a new file does not open an existing one.
    let is_new = open & CREATE_NEW == CREATE_NEW;
    if !is_new && let Some(refused) = path.refusal(&mut state.wasi, &memory).await? {
        return Ok(refused);
    }
    let errno = stock::path_open(
        &mut state.wasi,
        &mut memory,
        directory,
        lookup,
        at,
        length,
        open,
        rights,
        inheriting,
        flags,
        result,
    )
    .await?;
    if errno == SUCCESS {
        let descriptor = memory.read(GuestPtr::<i32>::new(result.cast_unsigned()))?;
        state.descriptors.open.insert(descriptor, permit);
    }
    Ok(errno)
}

/// Checks the path first: the stock function opens what it sets the times of, unless that is a
/// symbolic link.
async fn set_times(caller: &mut Caller<'_, State>, arguments: SetTimes) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let (directory, lookup, at, length, accessed, modified, which) = arguments;
    let path = GuestPath {
        directory,
        lookup,
        at,
        length,
    };
    let follows = lookup & FOLLOW != 0;
    if follows && let Some(refused) = path.refusal(&mut state.wasi, &memory).await? {
        return Ok(refused);
    }
    stock::path_filestat_set_times(
        &mut state.wasi,
        &mut memory,
        directory,
        lookup,
        at,
        length,
        accessed,
        modified,
        which,
    )
    .await
}

async fn fd_close(caller: &mut Caller<'_, State>, descriptor: i32) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let errno = stock::fd_close(&mut state.wasi, &mut memory, descriptor).await?;
    if errno == SUCCESS {
        state.descriptors.closed(descriptor);
    }
    Ok(errno)
}

async fn fd_renumber(caller: &mut Caller<'_, State>, from: i32, to: i32) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let errno = stock::fd_renumber(&mut state.wasi, &mut memory, from, to).await?;
    if errno == SUCCESS && from != to {
        // The call closes `to`, and `from` is no longer a descriptor.
        state.descriptors.closed(to);
        state.descriptors.moved(from, to);
    }
    Ok(errno)
}

// === impl Descriptors ===

impl Descriptors {
    pub(crate) fn new(files: InstanceFiles) -> Self {
        Self {
            stdout_moved: false,
            files,
            open: HashMap::new(),
        }
    }

    fn closed(&mut self, descriptor: i32) {
        self.stdout_moved |= descriptor == STDOUT;
        self.open.remove(&descriptor);
    }

    fn moved(&mut self, from: i32, to: i32) {
        self.stdout_moved |= from == STDOUT;
        if let Some(permit) = self.open.remove(&from) {
            self.open.insert(to, permit);
        }
    }
}

// === impl GuestPath ===

impl GuestPath {
    /// Returns the errno with which opening this path is refused, or `None` if it is a file or
    /// directory, or does not exist.
    ///
    /// The path can be replaced before it is opened. A guest can do this by moving a named pipe
    /// there, but cannot create one.
    async fn refusal(self, wasi: &mut WasiP1Ctx, memory: &GuestMemory<'_>) -> Result<Option<i32>> {
        let (at, length) = (self.at.cast_unsigned(), self.length.cast_unsigned());
        if length > MAX_PATH {
            return Ok(Some(Errno::Nametoolong as i32));
        }
        // The stock function works on a guest's memory: here a `filestat`, then the path.
        let path = memory.as_cow(GuestPtr::<[u8]>::new((at, length)))?;
        let filestat = usize::from(FILESTAT);
        let mut buffer = vec![0_u8; ALIGNMENT + filestat + path.len()];
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        let buffer = &mut buffer[start..];
        buffer[filestat..][..path.len()].copy_from_slice(&path);
        let errno = stock::path_filestat_get(
            wasi,
            &mut GuestMemory::Unshared(&mut *buffer),
            self.directory,
            self.lookup,
            i32::from(FILESTAT),
            self.length,
            0,
        )
        .await?;
        Ok(match errno {
            SUCCESS => match buffer[FILETYPE] {
                DIRECTORY | REGULAR_FILE | SYMBOLIC_LINK => None,
                _ => Some(Errno::Notsup as i32),
            },
            NOT_THERE => None,
            other => Some(other),
        })
    }
}
