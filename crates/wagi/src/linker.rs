use wasmtime::{Engine, Linker, Result};
use wasmtime_wasi::p1::WasiP1Ctx;
use wasmtime_wasi::{p0, p1};

use crate::vectored;
use headwater_runtime::MemoryBudget;

/// What an instance's imports work on.
pub(crate) struct State {
    pub(crate) wasi: WasiP1Ctx,
    pub(crate) memory: MemoryBudget,
}

/// Everything that a module may import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<State>> {
    fn wasi(state: &mut State) -> &mut WasiP1Ctx {
        &mut state.wasi
    }
    let mut linker = Linker::new(engine);
    p1::add_to_linker_async(&mut linker, wasi)?;
    p0::add_to_linker_async(&mut linker, wasi)?;
    linker.allow_shadowing(true);
    vectored::add_to_linker(&mut linker, "wasi_snapshot_preview1", wasi)?;
    vectored::add_to_linker(&mut linker, "wasi_unstable", wasi)?;
    linker.allow_shadowing(false);
    Ok(linker)
}
