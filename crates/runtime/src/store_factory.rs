use std::sync::Arc;
use std::time::Duration;

use headwater_telemetry::LimitLog;
use wasmtime::{AsContextMut, Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::attribution::{self, Evidence, Roots};
use crate::capability::ServiceCapabilities;
use crate::engine::Reclaim;
use crate::forbidden::ForbiddenHeaders;
use crate::guest_state::GuestState;
use crate::limits;
use crate::memory::MemoryBudget;
use crate::open_files::ServiceFiles;
use crate::outgoing_http::{Hooks, Outgoing};
use crate::output::{InstanceOutput, Outbox, ServiceOutput, Stdio, Stream};
use crate::pool::Meter;
use crate::service::Directory;
use crate::threads::{InstanceThread, ServiceThreads};
use crate::unattributed::Unattributed;

/// Bytes that a guest may pass to the host, or be passed, in one call: wasmtime's own default, said
/// here because a bound should not change with an update (CVE-2026-27204).
const MAX_HOSTCALL_BYTES: usize = 128 << 20;

/// Bytes of the header fields of one message, as `wasi:http` counts them: its own default, said here
/// for the same reason (CVE-2026-27572).
const MAX_FIELD_BYTES: usize = 128 << 10;

/// What instances of a service are made by.
pub(crate) struct StoreFactory {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) reclaim: Reclaim,
    pub(crate) service: Arc<str>,
    pub(crate) output: ServiceOutput,
    pub(crate) unattributed: Arc<Unattributed>,
    pub(crate) limits: LimitLog,
    pub(crate) threads: ServiceThreads,
    pub(crate) capabilities: ServiceCapabilities,
    pub(crate) forbidden_headers: ForbiddenHeaders,
    pub(crate) evidence: Evidence,
    /// Whether the component tells of its tasks.
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
    /// A store for a new instance, which has this number in its pool and runs on this thread.
    pub(crate) fn store(
        &self,
        instance: u64,
        thread: &InstanceThread,
    ) -> wasmtime::Result<Store<GuestState>> {
        let mut http = wasmtime_wasi_http::WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELD_BYTES);
        let outgoing = Arc::new(Outgoing::new(self.max_outgoing, self.limits.clone()));
        let outbox = Outbox::default();
        let state = GuestState {
            service: self.service.clone(),
            table: wasmtime::component::ResourceTable::new(),
            wasi: self.wasi(&outbox)?,
            http,
            hooks: Hooks::new(self.forbidden_headers.clone()),
            outgoing,
            capabilities: self.capabilities.instance(),
            memory: MemoryBudget::new(self.guest_memory, thread.clone(), self.limits.clone()),
            files: self.files.instance(),
            roots: Roots::new(self.evidence, self.hears_wakes),
            meter: Arc::new(Meter::new(self.max_cpu_time)),
            unattributed: self.unattributed.clone(),
            output: InstanceOutput::new(self.output.clone(), Some(instance)),
            outbox,
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
        // tokio's own yield and not the engine's: after it, sockets, timers and other tasks get their
        // turn first.
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

    /// A WASI context that grants what the operator granted, and nothing else: no arguments, no
    /// standard input, no sockets, no name look-ups.
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
