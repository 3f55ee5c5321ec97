//! What attribution costs, measured on a real call stack. For `cargo xtask bench`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{Limits, RequestId, RequestScope, ScopeParts, SpanContext};
use headwater_telemetry::LimitLog;
use wasmtime::component::{Component, Linker, TypedFunc};
use wasmtime::{AsContextMut, Store, StoreContextMut};

use crate::attribution::{self, Evidence, Roots};
use crate::capability::InstanceCapabilities;
use crate::engine::{Engine, EngineError};
use crate::forbidden::ForbiddenHeaders;
use crate::guest_name::GuestName;
use crate::guest_state::GuestState;
use crate::memory::MemoryBudget;
use crate::open_files::ServiceFiles;
use crate::outgoing_http::{Hooks, Outgoing};
use crate::output::{InstanceOutput, Outbox, ServiceOutput};
use crate::pool::{Mark, Meter};
use crate::threads::GuestThreads;
use crate::unattributed::Unattributed;

/// A guest that calls one import again and again.
const GUEST: &str = r#"
(component
  (import "call" (func $call))
  (core func $lowered (canon lower (func $call)))
  (core module $module
    (import "host" "call" (func $call))
    (func (export "run") (param $times i32)
      (block $done
        (loop $again
          (br_if $done (i32.eqz (local.get $times)))
          (call $call)
          (local.set $times (i32.sub (local.get $times) (i32.const 1)))
          (br $again)))))
  (core instance $instance
    (instantiate $module
      (with "host" (instance (export "call" (func $lowered))))))
  (func (export "run") (param "times" u32)
    (canon lift (core func $instance "run"))))
"#;

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// There is no engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The guest failed.
    #[error("the guest that is measured failed: {0:#}")]
    Guest(wasmtime::Error),
}

impl From<wasmtime::Error> for MeasureError {
    fn from(error: wasmtime::Error) -> Self {
        Self::Guest(error)
    }
}

/// The CPU time of an import call that finds out whom it is for, and of one that does not.
#[derive(Debug, Clone, Copy)]
pub struct AttributionCost {
    /// With attribution.
    pub attributed: Duration,
    /// The same call without it.
    pub plain: Duration,
}

impl AttributionCost {
    /// What attribution adds to a call.
    #[must_use]
    pub fn share(&self) -> Duration {
        self.attributed.saturating_sub(self.plain)
    }
}

/// Makes `calls` import calls with attribution and as many without, in an instance that has as many
/// requests as a shared one, and gives the time of one call of each kind.
///
/// # Errors
///
/// When the guest cannot be run.
pub async fn attribution_cost(calls: u32) -> Result<AttributionCost, MeasureError> {
    let attributed = run(calls, |mut store| {
        black_box(attribution::current(store.as_context_mut()));
    })
    .await?;
    let plain = run(calls, |_store| {}).await?;
    Ok(AttributionCost {
        attributed: attributed.elapsed / calls.max(1),
        plain: plain.elapsed / calls.max(1),
    })
}

/// What a run of the guest came to.
struct Run {
    elapsed: Duration,
    #[cfg_attr(not(test), expect(dead_code, reason = "the tests look at it"))]
    scope: Arc<RequestScope>,
}

async fn run(
    calls: u32,
    import: impl Fn(StoreContextMut<'_, GuestState>) + Send + Sync + 'static,
) -> Result<Run, MeasureError> {
    let engine = Engine::new()?;
    let engine = engine.for_guest(GUEST.as_bytes())?;
    let component = Component::new(engine, GUEST)?;
    let mut linker = Linker::<GuestState>::new(engine);
    linker.root().func_wrap(
        "call",
        move |store: StoreContextMut<'_, GuestState>, (): ()| {
            import(store);
            Ok(())
        },
    )?;
    let mut store = Store::new(engine, state(Evidence::Stack));
    store.epoch_deadline_async_yield_and_update(1);
    let instance = linker.instantiate_async(&mut store, &component).await?;
    let guest: TypedFunc<(u32,), ()> = instance.get_typed_func(&mut store, "run")?;

    let scope = scope();
    let elapsed = store
        .run_concurrent(async |accessor| {
            let call = accessor.with(|mut access| {
                let call = guest.start_call_concurrent(access.as_context_mut(), (calls,))?;
                access.data_mut().roots.start(call.task(), scope.clone());
                wasmtime::error::Ok(call)
            })?;
            let started = Mark::of_thread();
            guest.finish_call_concurrent(accessor, call).await?;
            wasmtime::error::Ok(Mark::of_thread().since(started))
        })
        .await??;
    Ok(Run { elapsed, scope })
}

pub(crate) fn state(evidence: Evidence) -> GuestState {
    let service: Arc<str> = "measured".into();
    let limits = LimitLog::new(service.clone());
    GuestState {
        service: service.clone(),
        table: wasmtime::component::ResourceTable::new(),
        wasi: wasmtime_wasi::WasiCtxBuilder::new().build(),
        http: wasmtime_wasi_http::WasiHttpCtx::new(),
        hooks: Hooks::new(ForbiddenHeaders::default()),
        outgoing: Arc::new(Outgoing::new(1, limits.clone())),
        capabilities: InstanceCapabilities::none(),
        files: ServiceFiles::new(&Limits::default(), limits.clone()).instance(),
        memory: MemoryBudget::new(
            usize::MAX,
            GuestThreads::default().service().instance(),
            limits,
        ),
        roots: Roots::new(evidence, false),
        meter: Arc::new(Meter::new(None)),
        unattributed: Arc::new(Unattributed::new(service.clone(), GuestName::default())),
        output: InstanceOutput::new(ServiceOutput::new(service), None),
        outbox: Outbox::default(),
    }
}

/// The scope of a request that nobody sent.
pub(crate) fn scope() -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "measured".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started: Instant::now(),
        deadline: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use headwater_core::{Verdict, Witness};

    use super::*;

    #[tokio::test]
    async fn a_call_by_a_root_task_is_attributed_exactly_by_the_stack() {
        let last = Arc::new(Mutex::new(None));
        let run = run(3, {
            let last = last.clone();
            move |mut store| {
                *last.lock().unwrap() = Some(attribution::current(store.as_context_mut()));
            }
        })
        .await
        .unwrap();
        let attribution = last.lock().unwrap().take().unwrap();
        assert_eq!(attribution.verdict(), Verdict::Exact);
        assert_eq!(attribution.witness(), Witness::Stack);
        assert_eq!(
            attribution.scope().map(|named| named.id()),
            Some(run.scope.id())
        );
    }
}
