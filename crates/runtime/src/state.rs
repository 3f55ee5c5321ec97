use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::attribution::Roots;
use crate::hooks::Hooks;
use crate::memory::MemoryBudget;
use crate::open_files::InstanceFiles;
use crate::output::{InstanceOutput, Outbox};
use crate::pool::Meter;
use crate::unattributed::Unattributed;

/// What the store of one instance holds.
pub(crate) struct State {
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: Hooks,
    pub(crate) memory: MemoryBudget,
    pub(crate) files: InstanceFiles,
    pub(crate) roots: Roots,
    pub(crate) meter: Arc<Meter>,
    pub(crate) unattributed: Arc<Unattributed>,
    pub(crate) output: InstanceOutput,
    pub(crate) outbox: Outbox,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}
