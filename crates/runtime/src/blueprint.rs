use std::sync::Arc;
use std::time::Duration;

use headwater_egress::Egress;
use wasmtime::{Store, UpdateDeadline};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

use crate::attribution::{self, Evidence, Roots};
use crate::hooks::Hooks;
use crate::memory::MemoryBudget;
use crate::output::GuestOutput;
use crate::service::Directory;
use crate::state::State;

/// Host resources (requests, responses, fields, streams of 0.2 …) that one instance may hold. A
/// thousand for each of sixteen requests; a guest that keeps more leaks.
const MAX_RESOURCES: usize = 16 << 10;

/// Tasks, streams and futures that one instance may have.
const MAX_TASKS: usize = 64 << 10;

/// Bytes that a guest may pass to the host, or be passed, in one call: wasmtime's own default, said
/// here because a bound should not change with an update (CVE-2026-27204).
const MAX_HOSTCALL_BYTES: usize = 128 << 20;

/// What instances of a service are made by.
pub(crate) struct Blueprint {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) service: Arc<str>,
    pub(crate) egress: Egress,
    pub(crate) evidence: Evidence,
    pub(crate) request_timeout: Duration,
    pub(crate) guest_memory: usize,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directories: Vec<Directory>,
}

impl Blueprint {
    /// A store for one new instance.
    pub(crate) fn store(&self) -> wasmtime::Result<Store<State>> {
        let state = State {
            table: wasmtime::component::ResourceTable::new(),
            wasi: self.wasi()?,
            http: wasmtime_wasi_http::WasiHttpCtx::new(),
            hooks: Hooks::new(self.egress.clone()),
            memory: MemoryBudget::new(self.guest_memory),
            roots: Roots::new(self.evidence),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(MAX_HOSTCALL_BYTES);
        store.data_mut().table.set_max_capacity(MAX_RESOURCES);
        if let Some(tasks) = store.concurrent_resource_table() {
            tasks.set_max_capacity(MAX_TASKS);
        }
        attribution::install(&mut store);
        // A guest that computes yields its thread at each tick of the epoch.
        store.set_epoch_deadline(1);
        // tokio's own yield and not the engine's: after it, sockets, timers and other tasks get their
        // turn first.
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        Ok(store)
    }

    /// A WASI context that grants what the operator granted, and nothing else: no arguments, no
    /// standard input, no sockets, no name look-ups.
    fn wasi(&self) -> wasmtime::Result<WasiCtx> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .envs(&self.environment)
            .stdout(GuestOutput::stdout(self.service.clone()))
            .stderr(GuestOutput::stderr(self.service.clone()));
        for directory in &self.directories {
            wasi.preopened_dir(&directory.host, &directory.guest, FsPerms::ReadWrite)?;
        }
        Ok(wasi.build())
    }
}
