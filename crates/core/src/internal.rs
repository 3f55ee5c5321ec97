use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::{Body, RequestScope};

/// Who makes a request to another service of the same host.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The service whose guest calls.
    pub service: Arc<str>,
    /// The request that the call is made for, if that is known.
    pub scope: Option<Arc<RequestScope>>,
}

/// What an [`InternalService`] returns: resolves at the response's head; the body streams after it.
pub type AnswerFuture = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// A service as the other services of its host reach it: without the network, and with all that the
/// front does for a request.
pub trait InternalService: Send + Sync + 'static {
    /// Answers a request that another service makes.
    ///
    /// `request` is what a client would have sent: an absolute URI, `host`, and the trace headers and
    /// `cdn-loop` of the calling side. What goes wrong is an answer, as it would be for any client; a
    /// body that is cut is one that ends with an error.
    ///
    /// Dropping the future, or the response's body before its end, means that the caller has gone.
    fn call(self: Arc<Self>, request: Request<Body>, caller: Caller) -> AnswerFuture;
}
