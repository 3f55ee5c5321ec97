use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use http::Request;

use crate::run::Run;

/// The most middlewares that a chain may have. Each needs a task and a place in an instance for as long as the
/// request takes; longer chains are mistakes.
pub const MAX_MIDDLEWARES: usize = 16;

/// Middlewares in front of a service. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Chain(pub(crate) Arc<Links>);

#[derive(Debug)]
pub(crate) struct Links {
    pub(crate) middlewares: Vec<Middleware>,
    pub(crate) target: Target,
}

/// A link that can call the next.
#[derive(Clone)]
pub struct Middleware {
    /// The name, in spans, logs and faults.
    pub name: Arc<str>,
    /// The handler, which finds the next in the scope that it gets.
    pub handler: Arc<dyn Handler>,
    /// The time until its response head, what is behind it included. Default: that of the target.
    pub timeout: Option<Duration>,
    /// The fate of a request if this middleware fails early.
    pub fail: FailMode,
}

/// The service behind the middlewares.
#[derive(Clone)]
pub struct Target {
    /// The name of the service.
    pub service: Arc<str>,
    /// The handler.
    pub handler: Arc<dyn Handler>,
    /// The time until its response head.
    pub timeout: Duration,
}

/// The fate of a request if a middleware fails early, which is before it has read from the request's body
/// or called the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailMode {
    /// The request fails.
    #[default]
    Closed,
    /// The request goes on without the middleware.
    Open,
}

/// The error of a chain that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a chain has at most {MAX_MIDDLEWARES} middlewares, and this one has {0}: leave some out")]
pub struct ChainError(pub usize);

// === impl Chain ===

impl Chain {
    /// Makes a chain; the first middleware is the outermost.
    ///
    /// # Errors
    ///
    /// Returns an error if there are more than [`MAX_MIDDLEWARES`].
    pub fn new(middlewares: Vec<Middleware>, target: Target) -> Result<Self, ChainError> {
        if middlewares.len() > MAX_MIDDLEWARES {
            return Err(ChainError(middlewares.len()));
        }
        Ok(Self(Arc::new(Links {
            middlewares,
            target,
        })))
    }
}

impl Handler for Chain {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        Run::start(self.clone(), request, scope)
    }

    /// Each link is introduced by the chain, but only the front knows the client's address.
    fn wants_introduction(&self) -> bool {
        true
    }
}

headwater_core::debug_fields!(Middleware {
    name,
    timeout,
    fail
});

headwater_core::debug_fields!(Target { service, timeout });
