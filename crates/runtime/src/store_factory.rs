use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use headwater_telemetry::{AuditBound, LimitLog, Metrics};
use wasmtime::{AsContextMut, Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::attribution::{self, Evidence, Roots, Unattributed};
use crate::capability::ServiceCapabilities;
use crate::engine::Reclaim;
use crate::forbidden::ForbiddenHeaders;
use crate::guest_state::GuestState;
use crate::limits;
use crate::memory::MemoryBudget;
use crate::meter::Meter;
use crate::open_files::ServiceFiles;
use crate::outgoing_http::{Hooks, Outgoing};
use crate::output::{InstanceOutput, Outbox, ServiceOutput, Stdio, Stream};
use crate::threads::{InstanceThread, ServiceThreads};

/// The maximum number of bytes passed between guest and host in one call. wasmtime's own default, set
/// explicitly because a limit should not change with an update (CVE-2026-27204).
const MAX_HOSTCALL_BYTES: usize = 128 << 20;

/// The maximum size of the header fields of one message in bytes, as `wasi:http` counts them. Its own
/// default, set explicitly for the same reason (CVE-2026-27572).
const MAX_FIELD_BYTES: usize = 128 << 10;

/// A directory that a guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// The path on the host.
    pub host: PathBuf,
    /// The path in the guest.
    pub guest: String,
    /// True if the guest may only read.
    pub read_only: bool,
}

/// Makes the stores for instances of a service.
pub(crate) struct StoreFactory {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) reclaim: Reclaim,
    pub(crate) service: Arc<str>,
    pub(crate) output: ServiceOutput,
    pub(crate) unattributed: Arc<Unattributed>,
    pub(crate) limits: LimitLog,
    pub(crate) metrics: Metrics,
    pub(crate) audit: AuditBound,
    pub(crate) threads: ServiceThreads,
    pub(crate) capabilities: ServiceCapabilities,
    pub(crate) forbidden_headers: ForbiddenHeaders,
    pub(crate) evidence: Evidence,
    /// True if the component reports its wake-ups.
    pub(crate) hears_wakes: bool,
    pub(crate) request_timeout: Duration,
    pub(crate) guest_memory: usize,
    pub(crate) files: ServiceFiles,
    pub(crate) max_outgoing: usize,
    pub(crate) max_cpu_time: Option<Duration>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directories: Vec<Directory>,
}

impl StoreFactory {
    /// Makes the store for a new instance, which has this number in its pool and runs on this thread.
    pub(crate) fn store(
        &self,
        instance: u64,
        thread: &InstanceThread,
    ) -> wasmtime::Result<Store<GuestState>> {
        let mut http = wasmtime_wasi_http::WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELD_BYTES);
        let outgoing = Outgoing::new(self.service.clone(), self.max_outgoing, self.limits.clone());
        let outbox = Outbox::default();
        let state = GuestState {
            service: self.service.clone(),
            table: wasmtime::component::ResourceTable::new(),
            wasi: self.wasi(&outbox)?,
            http,
            hooks: Hooks::new(self.forbidden_headers.clone(), Arc::new(outgoing)),
            capabilities: self.capabilities.instance(),
            memory: MemoryBudget::new(self.guest_memory, thread.clone(), self.limits.clone()),
            files: self.files.instance(),
            roots: Roots::new(self.evidence, self.hears_wakes, self.unattributed.clone()),
            meter: Arc::new(Meter::new(self.max_cpu_time)),
            output: InstanceOutput::new(self.output.clone(), Some(instance)),
            outbox,
            metrics: self.metrics.clone(),
            audit: self.audit.clone(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter_async(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_HOSTCALL_BYTES);
        store
            .data_mut()
            .table
            .set_max_capacity(limits::MAX_RESOURCES);
        if let Some(tasks) = store.concurrent_resource_table() {
            tasks.set_max_capacity(limits::MAX_TASKS);
        }
        attribution::install(&mut store);
        // A guest that computes yields its thread at each tick of the epoch.
        store.set_epoch_deadline(1);
        // tokio's own yield and not the engine's: it lets sockets, timers and other tasks run first.
        store.epoch_deadline_callback(|mut store| {
            let computes = attribution::running(store.as_context_mut());
            store.data().meter.ticked(computes.scope());
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        Ok(store)
    }

    /// Returns a WASI context with only the operator's grants: no arguments, no standard input, no
    /// sockets, no name look-ups.
    fn wasi(&self, outbox: &Outbox) -> wasmtime::Result<WasiCtx> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .envs(&self.environment)
            .stdout(Stdio::new(outbox, Stream::Stdout))
            .stderr(Stdio::new(outbox, Stream::Stderr));
        for directory in &self.directories {
            let permissions = match directory.read_only {
                true => FsPerms::ReadOnly,
                false => FsPerms::ReadWrite,
            };
            wasi.preopened_dir(&directory.host, &directory.guest, permissions)?;
        }
        Ok(wasi.build())
    }
}
