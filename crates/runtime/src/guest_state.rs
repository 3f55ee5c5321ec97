use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::attribution::Roots;
use crate::capability::{Capability, InstanceCapabilities};
use crate::memory::MemoryBudget;
use crate::open_files::InstanceFiles;
use crate::outgoing_http::{Hooks, Outgoing};
use crate::output::{InstanceOutput, Outbox};
use crate::pool::Meter;
use crate::unattributed::Unattributed;

/// What the store of one instance holds. The functions of a [`Capability`] get it with the store.
pub struct GuestState {
    pub(crate) service: Arc<str>,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: Hooks,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) capabilities: InstanceCapabilities,
    pub(crate) memory: MemoryBudget,
    pub(crate) files: InstanceFiles,
    pub(crate) roots: Roots,
    pub(crate) meter: Arc<Meter>,
    pub(crate) unattributed: Arc<Unattributed>,
    pub(crate) output: InstanceOutput,
    pub(crate) outbox: Outbox,
}

impl GuestState {
    /// The name of the service that the instance is of.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// The resources that the guest has handles to.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// What a capability keeps of this instance.
    ///
    /// # Errors
    ///
    /// When the service does not have the capability: an import function of it was linked by something else.
    pub fn capability<C: Capability>(&mut self) -> wasmtime::Result<&mut C::Instance> {
        self.capabilities.of::<C>().ok_or_else(|| {
            let name = std::any::type_name::<C>();
            wasmtime::format_err!("the service does not have the capability {name}")
        })
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.hooks,
        }
    }
}
