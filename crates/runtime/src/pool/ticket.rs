use std::sync::{Arc, OnceLock};
use std::time::Instant;

use headwater_core::{RequestId, RequestScope};
use http::{Request, Response};
use tokio::sync::{oneshot, watch};
use wasmtime_wasi_http::WasiBody;

use crate::outgoing::Outgoing;
use crate::pool::core::{InstanceKey, RequestKey};

/// What an instance answers a request with.
pub(crate) type Answer = wasmtime::Result<Response<WasiBody>>;

/// A request on its way into an instance.
pub(crate) struct Ticket {
    pub(crate) key: RequestKey,
    pub(crate) request: Request<WasiBody>,
    pub(crate) scope: Arc<RequestScope>,
    /// Closed when nobody waits for the answer any more.
    pub(crate) answer: oneshot::Sender<Answer>,
    /// Set by the instance that starts the request.
    pub(crate) instance: Arc<OnceLock<Arc<InstanceRecord>>>,
    /// When the request arrived at the pool.
    pub(crate) since: Instant,
}

/// What is known of one instance outside of it.
pub(crate) struct InstanceRecord {
    pub(crate) key: InstanceKey,
    pub(crate) outgoing: Arc<Outgoing>,
    ended: watch::Sender<Option<Ended>>,
}

/// How an instance ended.
pub(crate) type Ended = Result<(), Arc<Failure>>;

/// Why an instance failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// On one line, for the log.
    pub(crate) cause: String,
    /// The request whose fault it certainly was, if that is known.
    pub(crate) culprit: Option<RequestId>,
}

impl InstanceRecord {
    pub(crate) fn new(key: InstanceKey, outgoing: Arc<Outgoing>) -> Arc<Self> {
        Arc::new(Self {
            key,
            outgoing,
            ended: watch::channel(None).0,
        })
    }

    /// Notes how the instance ended. To be called before its store goes: that ends the bodies which
    /// the guest was writing, and a reader must be able to tell that end from a proper one.
    pub(crate) fn end(&self, ended: Ended) {
        self.ended.send_replace(Some(ended));
    }

    /// Waits until the instance is gone and says how it ended.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ended)) => ended.clone(),
            // The sender is `self`, which is alive, and `wait_for` waited for `Some`.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Whether the instance is gone because it failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(*self.ended.borrow(), Some(Err(_)))
    }
}
