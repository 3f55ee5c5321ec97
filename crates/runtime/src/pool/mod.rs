//! The instance pool: bounded, fair, faithful to backpressure.
//!
//! [`scheduler`] decides, and is pure; [`driver`] is the life of one instance; [`shared`] is the thin shell
//! around them; this file is the life of a request.

mod call;
mod circuit;
mod counters;
mod driver;
mod failure;
mod inbox;
mod instance_stats;
mod meter;
mod poll_gate;
mod queued_request;
mod retry;
mod scheduler;
mod settings;
mod shared;

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use headwater_core::{Fault, RequestId, RequestScope};
use headwater_telemetry::Metrics;
use http::{Request, Response};
use tokio::sync::oneshot;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyPre;

use self::counters::Count;
use self::scheduler::RequestKey;
use self::shared::Shared;
use crate::guest_state::GuestState;
use crate::places::ServicePlaces;
use crate::response;
use crate::store_factory::StoreFactory;

pub(crate) use self::call::{BodyRefused, NoResponse};
pub use self::circuit::CircuitState;
pub use self::counters::PoolTotals;
pub(crate) use self::driver::SlowStart;
pub use self::instance_stats::{InstanceState, InstanceView};
#[cfg(any(test, feature = "measure"))]
pub(crate) use self::meter::Mark;
pub(crate) use self::meter::Meter;
pub(crate) use self::queued_request::InstanceRecord;
pub use self::scheduler::PoolView;
pub use self::settings::{AttributionMode, PoolOverrides, PoolSettings};

/// When a client that met a full queue may come back. Requests are short; a second is long for them.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The pool of one service.
#[derive(Clone)]
pub(crate) struct InstancePool(Arc<Shared>);

impl InstancePool {
    pub(crate) fn new(
        pre: ProxyPre<GuestState>,
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

    /// Lets all instances finish what they have and end.
    pub(crate) fn replaced(&self) {
        self.0.replaced();
    }

    /// Waits until no instance has anything to do.
    pub(crate) async fn idle(&self) {
        let mut busy = self.0.watch_busy();
        // Fails only once the sender is gone, and `self` holds it.
        let _ = busy.wait_for(|busy| *busy == 0).await;
    }

    /// Has an instance answer a request; if that fails and the settings say so, one more.
    pub(crate) async fn answer(
        &self,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
    ) -> Result<Response<headwater_core::Body>, Fault> {
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

    /// Has an instance answer a request.
    async fn attempt(
        &self,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
    ) -> Result<Response<headwater_core::Body>, NoAnswer> {
        let (sender, answer) = oneshot::channel();
        let instance = Arc::new(OnceLock::new());
        let admitted = self
            .0
            .arrive(request, scope.clone(), sender, instance.clone())?;
        let deadline = scope.deadline();
        let slot = Slot {
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
                let slot = slot.answered();
                let record = instance.get().cloned();
                Ok(response::from_wasi(answer, record, slot))
            }
            Ok(Err(error)) => Err(response::fault(error).into()),
            Err(_dropped) => Err(match instance.get() {
                Some(record) => {
                    let fault = response::lost(record, slot.scope.id()).await;
                    NoAnswer::InstanceFailed(record.clone(), fault)
                }
                None => self.0.refusal().into(),
            }),
        }
    }
}

/// Why a request got no answer.
enum NoAnswer {
    /// Its instance failed while the request was in it.
    InstanceFailed(Arc<InstanceRecord>, Fault),
    Other(Fault),
}

impl NoAnswer {
    fn into_fault(self) -> Fault {
        match self {
            Self::InstanceFailed(record, fault) => {
                if let Some(failure) = record.failure() {
                    failure.set_told();
                }
                fault
            }
            Self::Other(fault) => fault,
        }
    }
}

impl From<Fault> for NoAnswer {
    fn from(fault: Fault) -> Self {
        Self::Other(fault)
    }
}

/// A request's place in the pool, until the last byte of its answer.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    key: RequestKey,
    scope: Arc<RequestScope>,
    answered: bool,
}

impl Slot {
    fn answered(mut self) -> Self {
        self.answered = true;
        self
    }

    pub(crate) fn request(&self) -> RequestId {
        self.scope.id()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // While a guest waits for a client's body, the client is late and not the instance.
        let missed = !self.answered
            && !self.scope.is_body_late()
            && self
                .scope
                .deadline()
                .is_some_and(|deadline| deadline <= Instant::now());
        self.shared.leave(self.key, missed);
    }
}
