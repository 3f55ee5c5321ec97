use std::sync::{Arc, OnceLock};
use std::time::Instant;

use headwater_core::RequestScope;
use http::Request;
use tokio::sync::{oneshot, watch};
use wasmtime_wasi_http::WasiBody;

use crate::outgoing_http::Outgoing;
use crate::pool::failure::Failure;
use crate::pool::poll_gate::PollGate;
use crate::pool::scheduler::{InstanceKey, RequestKey};
use crate::pool::written::Answer;

/// A request on its way into an instance.
pub(crate) struct QueuedRequest {
    pub(crate) key: RequestKey,
    pub(crate) request: Request<WasiBody>,
    pub(crate) scope: Arc<RequestScope>,
    /// Closed when the request is dropped.
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Set by the instance that starts the request.
    pub(crate) instance: Arc<OnceLock<Arc<InstanceRecord>>>,
    pub(crate) since: Instant,
}

/// The data about one instance that is shared with its requests.
pub(crate) struct InstanceRecord {
    pub(crate) key: InstanceKey,
    pub(crate) outgoing: Arc<Outgoing>,
    pub(crate) gate: PollGate,
    ended: watch::Sender<Option<Ended>>,
}

pub(crate) type Ended = Result<(), Arc<Failure>>;

impl InstanceRecord {
    pub(crate) fn new(key: InstanceKey, outgoing: Arc<Outgoing>) -> Arc<Self> {
        Arc::new(Self {
            key,
            outgoing,
            gate: PollGate::default(),
            ended: watch::channel(None).0,
        })
    }

    /// Records how the instance ended, unless it is recorded already. Must be called before the store
    /// is dropped: that ends the bodies that the guest was writing, and a reader must be able to tell
    /// that end from a proper one.
    pub(crate) fn end(&self, ended: Ended) {
        self.ended.send_if_modified(|known| {
            let is_news = known.is_none();
            if is_news {
                *known = Some(ended);
            }
            is_news
        });
        self.gate.open_for_good();
    }

    /// Waits for the end of the instance and returns its result.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ended)) => ended.clone(),
            // The sender is `self`, which is alive, and `wait_for` waited for `Some`.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.ended.borrow().is_some()
    }

    pub(crate) fn failure(&self) -> Option<Arc<Failure>> {
        match &*self.ended.borrow() {
            Some(Err(failure)) => Some(failure.clone()),
            Some(Ok(())) | None => None,
        }
    }
}
