//! Access to parts of the runtime for `cargo xtask bench`. Not for others: it changes without notice.

#![allow(
    missing_docs,
    clippy::missing_errors_doc,
    reason = "for one benchmark, which says what it is for"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_core::{Limits, RequestScope};
use headwater_telemetry::{AuditBound, LimitLog, Metrics};
use wasmtime::component::{GuestTaskId, Linker};
use wasmtime::{Store, StoreContextMut};

use crate::attribution::ledger::Listen;
use crate::attribution::wakes::{self, instrument};
use crate::attribution::{self, Evidence, Unattributed};
use crate::capabilities::Capabilities;
use crate::capability::ServiceContext;
use crate::code_cache::CodeCache;
use crate::engine::{Engine, EngineError, Reclaim};
use crate::forbidden::ForbiddenHeaders;
use crate::guest_name::GuestName;
use crate::guest_state::GuestState;
use crate::linker;
use crate::open_files::ServiceFiles;
use crate::output::ServiceOutput;
use crate::store_factory::StoreFactory;
use crate::threads::GuestThreads;

/// The attribution of a store's calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Stack,
    StackAndWakes,
    Ledger,
    /// Attributes calls to the only request, without looking at the stack.
    Sole,
}

/// Makes stores like the pool's, for guests without grants.
pub struct Stores(pub(crate) StoreFactory);

impl Stores {
    #[must_use]
    pub fn new(engine: &wasmtime::Engine, by: By, limits: &Limits) -> Self {
        let service: Arc<str> = "measured".into();
        let limit_log = LimitLog::new(service.clone());
        Self(StoreFactory {
            engine: engine.clone(),
            reclaim: Reclaim::default(),
            capabilities: Capabilities::default().nothing().start(&ServiceContext {
                service: service.clone(),
                metrics: Metrics::default(),
            }),
            output: ServiceOutput::new(service.clone()),
            unattributed: Arc::new(Unattributed::new(service.clone(), GuestName::default())),
            files: ServiceFiles::new(limits, limit_log.clone()),
            limits: limit_log,
            metrics: Metrics::default(),
            audit: AuditBound::new(service.clone()),
            threads: GuestThreads::default().service(),
            service,
            forbidden_headers: ForbiddenHeaders::default(),
            evidence: match by {
                By::Stack | By::StackAndWakes => Evidence::Stack,
                By::Ledger => Evidence::Ledger(Listen::Entries),
                By::Sole => Evidence::Sole,
            },
            hears_wakes: by == By::StackAndWakes,
            request_timeout: limits.request_timeout,
            guest_memory: limits.guest_memory,
            max_outgoing: usize::MAX,
            max_cpu_time: None,
            environment: Vec::new(),
            directories: Vec::new(),
        })
    }

    pub fn store(&self) -> wasmtime::Result<Store<GuestState>> {
        self.0.store(0, &self.0.threads.instance())
    }
}

/// Makes an engine that runs all guests on this wasmtime engine, which must have epochs. For measuring
/// settings of wasmtime that Headwater does not expose.
pub fn engine_on(engine: wasmtime::Engine) -> Result<Engine, EngineError> {
    Engine::on(engine, &CodeCache::Off)
}

/// Makes an engine with this many places that never makes a guest yield: when it would, depends on how fast the
/// machine is.
pub fn engine_without_ticks(places: u32) -> Result<Engine, EngineError> {
    Engine::without_ticks(places)
}

/// Set by [`clocks_off`].
static CLOCKS_OFF: AtomicBool = AtomicBool::new(false);

/// Makes the clocks of CPU time stand still, for a process under valgrind: rustix finds the clock by what the kernel
/// says about the process, in memory that valgrind has unmapped, and the process would crash.
pub fn clocks_off() {
    CLOCKS_OFF.store(true, Ordering::Relaxed);
}

#[must_use]
pub fn clocks_are_off() -> bool {
    CLOCKS_OFF.load(Ordering::Relaxed)
}

pub fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<GuestState>> {
    linker::linker(engine, &Capabilities::default().nothing())
}

/// Instruments a component to report its wake-ups, and links the imports that it then has.
pub fn hear(linker: &mut Linker<GuestState>, binary: &[u8]) -> wasmtime::Result<Option<Vec<u8>>> {
    wakes::add_to_linker(linker)?;
    instrument::instrumented(binary).map_err(|unheard| wasmtime::Error::msg(unheard.to_string()))
}

/// Must be called just before the root task of a request is made.
pub fn starting(store: &mut StoreContextMut<'_, GuestState>) {
    attribution::starting(store);
}

pub fn started(
    store: &mut StoreContextMut<'_, GuestState>,
    task: GuestTaskId,
    scope: Arc<RequestScope>,
) {
    attribution::started(store, task, scope);
}

pub fn checkpoint(store: StoreContextMut<'_, GuestState>) {
    attribution::checkpoint(store);
}
