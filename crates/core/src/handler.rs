use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::{Body, Fault, RequestScope};

/// The future that a [`Handler`] returns. It resolves at the response head; the body streams after it.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Fault>> + Send>>;

/// Something that answers requests: a component's instance pool, a WAGI module, a built-in.
///
/// The front knows handlers only by this trait.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// `request` has an absolute URI, with the scheme and authority that the front established. `scope` is
    /// the request's only scope; everything done for the request is recorded in it.
    ///
    /// Dropping the future, or the response's body before its end, means that the client no longer waits.
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture;

    /// Returns true if the handler reads the header fields that the front adds: the client's address
    /// (`x-forwarded-for` and the like), the request id and the trace context. If false, the front does not
    /// write them, and the fields may have values that a client sent.
    ///
    /// Default: true.
    fn wants_introduction(&self) -> bool {
        true
    }
}
