//! What a guest does with its descriptors as a whole: which is stdout, and how many there are.
//!
//! An open file takes one of the host's descriptors, of which all services share a thousand or so. A
//! guest that opens files without end is told that it has too many.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock};

use crate::linker::State;
use crate::vectored::{STDOUT, parts};

/// Files and directories that one instance may have open at once, beside its volumes. More than any
/// interpreter needs, and few enough that a dozen such guests leave the host its connections.
const MOST_OPEN: u32 = 64;

/// The descriptors of one instance.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    /// Whether stdout's was closed, or given another meaning.
    pub(crate) stdout_moved: bool,
    open: u32,
}

/// The parameters of `path_open`.
type PathOpen = (i32, i32, i32, i32, i32, i64, i64, i32, i32);

/// Puts three functions over those of the module `wasi`, which must allow it
/// ([`Linker::allow_shadowing`]).
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
    if state.descriptors.open >= MOST_OPEN {
        return Ok(Errno::Mfile as i32);
    }
    let (directory, lookup, path, length, open, rights, inheriting, flags, result) = arguments;
    let errno = stock::path_open(
        &mut state.wasi,
        &mut memory,
        directory,
        lookup,
        path,
        length,
        open,
        rights,
        inheriting,
        flags,
        result,
    )
    .await?;
    state.descriptors.open += u32::from(errno == Errno::Success as i32);
    Ok(errno)
}

async fn fd_close(caller: &mut Caller<'_, State>, descriptor: i32) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let errno = stock::fd_close(&mut state.wasi, &mut memory, descriptor).await?;
    if errno == Errno::Success as i32 {
        state.descriptors.closed(descriptor);
    }
    Ok(errno)
}

async fn fd_renumber(caller: &mut Caller<'_, State>, from: i32, to: i32) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let errno = stock::fd_renumber(&mut state.wasi, &mut memory, from, to).await?;
    if errno == Errno::Success as i32 && from != to {
        // What `to` was is closed by it, and `from` is there no more.
        state.descriptors.closed(to);
        state.descriptors.stdout_moved |= from == STDOUT;
    }
    Ok(errno)
}

impl Descriptors {
    fn closed(&mut self, descriptor: i32) {
        self.stdout_moved |= descriptor == STDOUT;
        // Those of the standard streams are no files of the host. A volume's may be taken for one that
        // was opened, of which there is one more then.
        if descriptor > 2 {
            self.open = self.open.saturating_sub(1);
        }
    }
}
