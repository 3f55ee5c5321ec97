use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use http::{Request, Response};

use crate::{Body, Fault, RequestScope};

/// What a [`Handler`] returns: resolves at the response head; the body streams after it.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Fault>> + Send>>;

/// Something that answers requests: a component's instance pool, a WAGI module, a built-in.
///
/// The front knows handlers by this trait only, not what runs behind them.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request.
    ///
    /// `request` has an absolute URI (scheme and authority as the front established them). `scope`
    /// is the request's one scope; whatever is done for the request is done in its name.
    ///
    /// Dropping the future, or the response's body before its end, means that nobody waits for the
    /// answer any more.
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture;

    /// Whether it looks at the fields by which a request is introduced: who the client is
    /// (`x-forwarded-for` and its like), and the names of the request and its trace. Who does not need
    /// not wait for them to be written; what a client has sent under their names may then be there.
    ///
    /// Default: yes.
    fn wants_introduction(&self) -> bool {
        true
    }
}
