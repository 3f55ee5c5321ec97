//! Runs `random_get` piece by piece.
//!
//! The stock function makes up to 64 MiB in one call, slowly. Here the thread yields between two
//! pieces.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::Errno;
use wasmtime_wasi::p1::wasi_snapshot_preview1 as stock;

use crate::linker::State;
use crate::vectored::parts;

/// Bytes that are made at once, in less than a millisecond.
const PIECE: u32 = 64 << 10;

/// Replaces the function of `wasi`. The linker must allow it ([`Linker::allow_shadowing`]).
pub(crate) fn add_to_linker(linker: &mut Linker<State>, wasi: &str) -> Result<()> {
    linker.func_wrap_async(
        wasi,
        "random_get",
        |mut caller: Caller<'_, State>, (buffer, length): (i32, i32)| {
            let (buffer, length) = (buffer.cast_unsigned(), length.cast_unsigned());
            Box::new(async move { random_get(&mut caller, buffer, length).await })
        },
    )?;
    Ok(())
}

async fn random_get(caller: &mut Caller<'_, State>, buffer: u32, length: u32) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let mut made = 0;
    loop {
        let piece = (length - made).min(PIECE);
        // The stock function reports an address beyond all memory.
        let at = buffer.saturating_add(made);
        let errno = stock::random_get(
            &mut state.wasi,
            &mut memory,
            at.cast_signed(),
            piece.cast_signed(),
        )?;
        made += piece;
        if errno != Errno::Success as i32 || made == length {
            return Ok(errno);
        }
        tokio::task::yield_now().await;
    }
}
