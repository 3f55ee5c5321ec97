use headwater_runtime::{InstanceFiles, MemoryBudget};
use wasmtime::{Engine, Linker, Module, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{p0, p1};

use crate::descriptors::{self, Descriptors};
use crate::experimental_http::{self, Outgoing};
use crate::output::Output;
use crate::{old_poll, random, vectored};

/// The host state of an instance: what its imports work on.
pub(crate) struct State {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) memory: MemoryBudget,
    pub(crate) output: Output,
    pub(crate) descriptors: Descriptors,
    pub(crate) outgoing: Outgoing,
}

impl State {
    pub(crate) fn new(
        wasi: WasiP1Ctx,
        memory: MemoryBudget,
        files: InstanceFiles,
        output: Output,
        outgoing: Outgoing,
    ) -> Self {
        Self {
            wasi,
            memory,
            output,
            descriptors: Descriptors::new(files),
            outgoing,
        }
    }
}

pub(crate) fn linker(engine: &Engine, module: &Module) -> Result<Linker<State>> {
    fn wasi(state: &mut State) -> &mut WasiP1Ctx {
        &mut state.wasi
    }
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, wasi)?;
    p0::add_to_linker_async(&mut linker, wasi)?;
    linker.allow_shadowing(true);
    for wasi in ["wasi_snapshot_preview1", "wasi_unstable"] {
        vectored::add_to_linker(&mut linker, wasi)?;
        descriptors::add_to_linker(&mut linker, wasi)?;
        random::add_to_linker(&mut linker, wasi)?;
    }
    old_poll::add_to_linker(&mut linker)?;
    linker.allow_shadowing(false);
    experimental_http::add_to_linker(&mut linker, module)?;
    Ok(linker)
}
