use std::any::{Any, TypeId};
use std::sync::Arc;

use headwater_telemetry::{AuditBound, Metrics};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::attribution::{AttributionView, Roots};
use crate::memory::MemoryBudget;
use crate::meter::Meter;
use crate::open_files::InstanceFiles;
use crate::outgoing_http::Hooks;
use crate::output::{InstanceOutput, Outbox};

/// The data in the store of one instance. The functions of a [capability](crate::capability) get it with the
/// store.
///
/// Attribution and outgoing HTTP do not know this type. Each defines a view of the data that it needs
/// (`AttributionView`, `OutgoingView`), as `wasmtime-wasi` does.
pub struct GuestState {
    pub(crate) service: Arc<str>,
    pub(crate) table: ResourceTable,
    pub(crate) wasi: WasiCtx,
    pub(crate) http: WasiHttpCtx,
    pub(crate) hooks: Hooks,
    pub(crate) capabilities: InstanceCapabilities,
    pub(crate) memory: MemoryBudget,
    pub(crate) files: InstanceFiles,
    pub(crate) roots: Roots,
    pub(crate) meter: Arc<Meter>,
    pub(crate) output: InstanceOutput,
    pub(crate) outbox: Outbox,
    /// Counts the calls of capabilities.
    pub(crate) metrics: Metrics,
    /// Limits the calls that are written to the audit log.
    pub(crate) audit: AuditBound,
}

/// The states that capabilities keep for an instance, each under its own type. There are few, so a linear
/// search is faster than a hash.
pub(crate) struct InstanceCapabilities(pub(crate) Box<[(TypeId, Box<dyn Any + Send>)]>);

impl GuestState {
    /// Returns the name of the instance's service.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.service
    }

    /// Returns the table of resources that the guest has handles to.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }
}

impl InstanceCapabilities {
    pub(crate) fn of<Capability: 'static, Instance: 'static>(&mut self) -> Option<&mut Instance> {
        let id = TypeId::of::<Capability>();
        let (_, instance) = self.0.iter_mut().find(|(it, _)| *it == id)?;
        instance.downcast_mut()
    }
}

impl AttributionView for GuestState {
    fn roots(&mut self) -> &mut Roots {
        &mut self.roots
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
