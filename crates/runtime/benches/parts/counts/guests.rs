//! Requests and calls of guests, with wasmtime's part of them.

use std::hint::black_box;

use anyhow::{Result, anyhow};
use headwater_runtime::measure::engine_without_ticks;
use headwater_runtime::{Engine, PoolOverrides};

use super::{ROUNDS, async_rounds, rounds};
use crate::bare::{BareService, failed};
use crate::{calls, hello, ledger, one_thread};

/// Places of the engine, of 4 GiB each: valgrind lets a program reserve some 100 GiB.
const PLACES: u32 = 8;

pub(super) fn engine() -> Result<Engine> {
    Ok(engine_without_ticks(PLACES)?)
}

/// The look-up of a guest whose code another service uses. Most of it is hashing the guest, of some 70 KB.
pub(super) fn code_in_use(operations: u32) -> Result<()> {
    let (engine, binary) = (engine()?, hello::binary()?);
    let _used = compiled(&engine, &binary)?;
    rounds(operations, |_| compiled(&engine, &binary).map(drop))
}

/// The load of compiled code from its file: hashing the guest and the code, and mapping it.
pub(super) fn code_from_disk(operations: u32) -> Result<()> {
    let (engine, binary) = (engine()?, hello::binary()?);
    rounds(operations, |_| compiled(&engine, &binary).map(drop))
}

fn compiled(engine: &Engine, binary: &[u8]) -> Result<impl Sized + use<>> {
    let wasmtime = engine.for_guest(binary)?;
    let code = engine.compiler().component(wasmtime, binary, "bench");
    code.map(black_box).map_err(failed)
}

/// A call of `hello` by wasmtime alone: what a request costs at least.
pub(super) fn wasmtime_call(operations: u32) -> Result<()> {
    one_thread()?.block_on(async {
        let service = BareService::load(&engine()?, &hello::binary()?)?;
        let mut instance = service.start().await?;
        async_rounds(1, async || instance.call(1, operations as usize).await).await
    })
}

/// A request to a warm instance of `hello`, by the pool.
pub(super) fn request(operations: u32) -> Result<()> {
    requests(operations, &hello::binary()?, PoolOverrides::default())
}

/// A request to a fresh instance of `hello`. Page faults and system calls are the kernel's, and not counted.
pub(super) fn request_fresh(operations: u32) -> Result<()> {
    let fresh = PoolOverrides {
        max_requests_per_instance: Some(1..=1),
        ..PoolOverrides::default()
    };
    requests(operations, &hello::binary()?, fresh)
}

/// A request to a warm instance of `hello` behind a middleware, in one component.
pub(super) fn request_composed(operations: u32) -> Result<()> {
    requests(operations, &hello::composed()?, PoolOverrides::default())
}

fn requests(operations: u32, binary: &[u8], pool: PoolOverrides) -> Result<()> {
    one_thread()?.block_on(async {
        let handler = hello::pool(&engine()?, binary, pool)?;
        let operations = operations as usize;
        async_rounds(1, async || {
            hello::requests(handler.clone(), operations).await
        })
        .await
    })
}

/// The call of an import that does nothing.
pub(super) fn import_call(operations: u32) -> Result<()> {
    import_calls(operations, false)
}

/// The call of an import that only asks for its attribution: with the walk of the call stack.
pub(super) fn import_call_attributed(operations: u32) -> Result<()> {
    import_calls(operations, true)
}

fn import_calls(operations: u32, attributed: bool) -> Result<()> {
    one_thread()?.block_on(async {
        let engine = engine()?;
        for _ in 0..ROUNDS {
            let time = calls::time(&engine, operations, attributed).await;
            time.map_err(failed)?;
        }
        Ok(())
    })
}

/// A request to a component of two, which makes two calls of the host.
pub(super) fn composed_call(operations: u32) -> Result<()> {
    composed_calls(operations, false)
}

/// The same with the ledger of its tasks, and two queries to it.
pub(super) fn composed_call_ledger(operations: u32) -> Result<()> {
    composed_calls(operations, true)
}

fn composed_calls(operations: u32, with: bool) -> Result<()> {
    one_thread()?.block_on(async {
        let engine = engine()?;
        for _ in 0..ROUNDS {
            let time = ledger::time(&engine, operations, with).await;
            time.map_err(|error| anyhow!("{error:#}"))?;
        }
        Ok(())
    })
}
