use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::{Body, RequestScope};

/// The sender of a request to another service of the same host.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The service whose guest calls.
    pub service: Arc<str>,
    /// The request that the call is made for, if that is known.
    pub scope: Option<Arc<RequestScope>>,
}

/// The future that an [`InternalService`] returns. It resolves at the response head; the body streams after
/// it.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A service that other services of its host can call without the network. The front treats such a request
/// like any other.
pub trait InternalService: Send + Sync + 'static {
    /// Answers a request that another service makes.
    ///
    /// `request` is what a client would have sent: an absolute URI, `host`, and the trace headers and
    /// `cdn-loop` of the caller. Errors are answers, as for any client; a body that is cut off ends with an
    /// error.
    ///
    /// Dropping the future, or the response's body before its end, means that the caller no longer waits.
    fn call(self: Arc<Self>, request: Request<Body>, caller: Caller) -> AnswerFuture;
}
