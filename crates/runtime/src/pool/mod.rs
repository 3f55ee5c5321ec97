//! The instance pool: bounded, fair, and respecting backpressure.
//!
//! [`scheduler`] decides and has no side effects; [`driver`] is the life of one instance; [`shared`]
//! connects the two; this file is the life of a request. Why it is not wasmtime-wasi-http's dispatcher:
//! `docs/decisions/0003-instance-pool.md`.

mod call;
mod circuit;
mod counters;
mod driver;
mod failure;
mod guest;
mod inbox;
mod instance_stats;
mod no_answer;
mod poll_gate;
mod queued_request;
mod response;
mod retry;
mod scheduler;
mod settings;
mod shared;
mod slot;
mod written;

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use headwater_core::{Body, Fault, RequestScope};
use headwater_telemetry::Metrics;
use http::{Request, Response};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;

use self::counters::Count;
use self::no_answer::NoAnswer;
use self::scheduler::Scheduler;
use self::shared::Shared;
use self::slot::Slot;
use crate::places::ServicePlaces;
use crate::store_factory::StoreFactory;

pub use self::circuit::CircuitState;
pub use self::counters::PoolTotals;
pub(crate) use self::guest::GuestPre;
pub use self::instance_stats::{InstanceState, InstanceView};
pub use self::scheduler::PoolView;
pub use self::settings::{AttributionMode, PoolOverrides, PoolSettings};

#[derive(Clone)]
pub(crate) struct InstancePool(Arc<Shared>);

/// Returns a guest's body without bytes.
pub(crate) fn no_body() -> WasiBody {
    response::empty()
}

impl InstancePool {
    pub(crate) fn new(
        pre: GuestPre,
        stores: StoreFactory,
        settings: PoolSettings,
        places: ServicePlaces,
        metrics: Metrics,
        seed: u64,
    ) -> Self {
        Self(Shared::new(pre, stores, settings, places, metrics, seed))
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.0.settings
    }

    pub(crate) fn view(&self) -> PoolView {
        self.0.look().core.view()
    }

    pub(crate) fn circuit(&self) -> CircuitState {
        self.0.lock().circuit.state()
    }

    pub(crate) fn totals(&self) -> PoolTotals {
        PoolTotals {
            backpressure: self.0.stats.held(Instant::now()),
            ..self.0.counters.totals()
        }
    }

    pub(crate) fn instances(&self) -> Vec<InstanceView> {
        let now = Instant::now();
        let age = |key| self.0.stats.age(key, now);
        self.0.look().core.instances(age)
    }

    pub(crate) fn replaced(&self) {
        self.0.happened(Scheduler::replaced);
    }

    pub(crate) async fn idle(&self) {
        let mut busy = self.0.watch_busy();
        // Fails only once the sender is gone, and `self` holds it.
        let _ = busy.wait_for(|busy| *busy == 0).await;
    }

    /// Has an instance answer a request. If the instance fails and the settings allow it, tries another.
    pub(crate) async fn answer(
        &self,
        request: Request<Body>,
        scope: Arc<RequestScope>,
    ) -> Result<Response<Body>, Fault> {
        let request = request.map(response::to_wasi);
        let copy = self.0.copy_for_retry(&request);
        let answer = self.attempt(request, scope.clone()).await;
        let failed = match &answer {
            Err(NoAnswer::InstanceFailed(instance, _)) => Some(instance.clone()),
            _ => None,
        };
        if let (Some(instance), Some(copy)) = (failed, copy)
            && retry::is_invisible(&scope, &instance).await
        {
            self.0.counters.count(Count::Retried);
            tracing::debug!(
                service = %self.0.service(),
                request_id = %scope.id(),
                instance = instance.key.0,
                "the instance failed; the request is tried once more in another"
            );
            let again = self.attempt(copy.map(|()| response::empty()), scope).await;
            return again.map_err(NoAnswer::into_fault);
        }
        answer.map_err(NoAnswer::into_fault)
    }

    async fn attempt(
        &self,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
    ) -> Result<Response<Body>, NoAnswer> {
        let (sender, answer) = oneshot::channel();
        let instance = Arc::new(OnceLock::new());
        let admitted = self
            .0
            .arrive(request, scope.clone(), sender, instance.clone())?;
        let deadline = scope.deadline();
        let mut slot = Slot {
            shared: self.0.clone(),
            key: admitted.key,
            scope,
            answered: false,
        };
        let answer = if admitted.queued {
            self.0.wait(admitted.key, deadline, answer).await?
        } else {
            answer.await
        };
        match answer {
            Ok(Ok(answer)) => {
                self.0.succeeded();
                slot.answered = true;
                let record = instance.get().cloned();
                Ok(response::from_wasi(answer, record, slot))
            }
            Ok(Err(error)) => Err(no_answer::fault(error).into()),
            Err(_dropped) => Err(match instance.get() {
                Some(record) => {
                    let fault = no_answer::lost(record, slot.scope.id()).await;
                    NoAnswer::InstanceFailed(record.clone(), fault)
                }
                None => self.0.refusal().into(),
            }),
        }
    }
}
