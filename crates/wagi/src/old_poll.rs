//! `poll_oneoff` of preview0 (`wasi_unstable`).
//!
//! A subscription of preview0 has 56 bytes, one of preview1 has 48. `wasmtime-wasi` 48 converts
//! each subscription in place and then reads them as if they were 48 bytes apart, so it reads only
//! the first one correctly. Every program that waits for its stdin with a timeout passes two.

use wasmtime::{Caller, Linker, Result};
use wasmtime_wasi::p1::types::{Errno, Eventtype};
use wasmtime_wasi::p1::wasi_snapshot_preview1::{self as stock};
use wiggle::{GuestMemory, GuestPtr};

use crate::linker::State;
use crate::vectored::parts;

/// The size of a subscription in preview0.
const OLD: usize = 56;

/// The size of a subscription in preview1.
const NEW: usize = 48;

/// The offset of the eight-byte identifier of a preview0 clock, which preview1 does not have.
const IDENTIFIER: usize = 16;

/// The maximum number of subscriptions, more than any program has; each takes memory of the host.
const MOST: u32 = 4_096;

/// Replaces the function. The linker must allow it ([`Linker::allow_shadowing`]).
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> Result<()> {
    linker.func_wrap_async(
        "wasi_unstable",
        "poll_oneoff",
        |mut caller: Caller<'_, State>, arguments: (i32, i32, i32, i32)| {
            Box::new(async move { poll_oneoff(&mut caller, arguments).await })
        },
    )?;
    Ok(())
}

async fn poll_oneoff(
    caller: &mut Caller<'_, State>,
    (subscriptions, events, count, result): (i32, i32, i32, i32),
) -> Result<i32> {
    let (mut memory, state) = parts(caller)?;
    let number = count.cast_unsigned();
    if number > MOST {
        return Ok(Errno::Inval as i32);
    }
    let at = subscriptions.cast_unsigned();
    let old = memory.to_vec(bytes(at, number * OLD as u32))?;
    let new = old.chunks_exact(OLD).flat_map(renewed).collect::<Vec<_>>();
    memory.copy_from_slice(&new, bytes(at, number * NEW as u32))?;
    let wasi = &mut state.wasi;
    let polled = stock::poll_oneoff(wasi, &mut memory, subscriptions, events, count, result).await;
    restore(&mut memory, at, &old, &new)?;
    polled
}

/// Restores the guest's subscriptions, except where the events were written over them.
fn restore(memory: &mut GuestMemory<'_>, at: u32, old: &[u8], new: &[u8]) -> Result<()> {
    let now = memory.to_vec(bytes(at, new.len() as u32))?;
    if now == new {
        memory.copy_from_slice(old, bytes(at, old.len() as u32))?;
    }
    Ok(())
}

/// Converts a subscription to the layout of preview1.
fn renewed(old: &[u8]) -> [u8; NEW] {
    let skipped = match old[8] == Eventtype::Clock as u8 {
        true => OLD - NEW,
        false => 0,
    };
    std::array::from_fn(|at| match at < IDENTIFIER {
        true => old[at],
        false => old[at + skipped],
    })
}

fn bytes(at: u32, length: u32) -> GuestPtr<[u8]> {
    GuestPtr::new((at, length))
}
