use std::sync::{Arc, OnceLock};
use std::time::Instant;

use headwater_core::RequestScope;
use http::{Request, Response};
use tokio::sync::{oneshot, watch};
use wasmtime_wasi_http::WasiBody;

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
    ended: watch::Sender<Option<Ended>>,
}

/// How an instance ended: with the cause, if it failed.
pub(crate) type Ended = Result<(), Arc<str>>;

impl InstanceRecord {
    pub(crate) fn new(key: InstanceKey) -> Arc<Self> {
        Arc::new(Self {
            key,
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
