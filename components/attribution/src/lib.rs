//! Declares which incoming request a guest works for, where the host cannot see it.
//!
//! Headwater attributes each outgoing request of a guest to an incoming one by the call stack of
//! the component model. That is right as long as a request's work is polled in the request's own
//! task, as `async` code and `spawn_local` do it. If your work is polled elsewhere (by an executor,
//! a pool of workers, a queue that another request empties, a future that several requests share),
//! create a [`Scope`] in the handler and pass it along:
//!
//! ```no_run
//! # use headwater_attribution::Scope;
//! # fn shared_queue(work: impl Future<Output = ()> + 'static) {}
//! # async fn call_upstream() {}
//! # async fn handle() {
//! let scope = Scope::current();
//! shared_queue(Scope::wrap(scope, async {
//! The calls are attributed to this request, whichever task polls this.
//!     call_upstream().await;
//! }));
//! # }
//! ```
//!
//! A scope is valid while its request lives: until the answer is sent and the handler's task, with
//! everything that was spawned in it, has ended. Therefore the handler (or a task that it spawned)
//! should wait for the work that is done elsewhere. Later, the scope has no effect.
//!
//! [`Scope::current`] names the request by a token of the interface `headwater:attribution/scope`,
//! in `wit/headwater-attribution`; a component that imports it runs only on a host that offers it.
//! With the feature `wasip3`, [`Scope::by_id`] names the request by its `x-request-id`, which
//! [`named`] adds to the outgoing requests in the scope; without the default feature `token` such a
//! component runs on any host.
//! runs anywhere.

#[cfg(feature = "wasip3")]
mod id;
#[cfg(feature = "token")]
mod token;

use std::pin::Pin;
use std::task::{Context, Poll};

#[cfg(feature = "wasip3")]
pub use id::named;
#[cfg(feature = "token")]
pub use token::Guard;

/// Names one incoming request. Cloning is cheap.
#[derive(Clone)]
pub struct Scope(Name);

#[derive(Clone)]
enum Name {
    #[cfg(feature = "token")]
    Token(token::Shared),
    #[cfg(feature = "wasip3")]
    Id(id::Shared),
}

/// A future that is always polled for one request, created by [`Scope::wrap`].
pub struct InScope<F> {
    scope: Option<Scope>,
    future: Pin<Box<F>>,
}

impl Scope {
    /// Runs `work`, which does not await, for this request.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        match &self.0 {
            #[cfg(feature = "token")]
            Name::Token(token) => token::run(token, work),
            #[cfg(feature = "wasip3")]
            Name::Id(id) => id::run(id, work),
        }
    }

    /// Wraps a future so that each poll is done for `scope`'s request, whichever task polls it.
    /// Without a scope, the future is unchanged.
    pub fn wrap<F: Future>(scope: impl Into<Option<Self>>, future: F) -> InScope<F> {
        InScope {
            scope: scope.into(),
            future: Box::pin(future),
        }
    }

    /// Spawns a future in the current task, for this request: [`Scope::wrap`] for a task that works
    /// for other requests.
    #[cfg(feature = "wasip3")]
    pub fn spawn<R: 'static>(
        &self,
        future: impl Future<Output = R> + 'static,
    ) -> wasip3::wit_bindgen::JoinHandle<R> {
        wasip3::spawn_local(Self::wrap(self.clone(), future))
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { scope, future } = &mut *self;
        match scope {
            Some(scope) => scope.run(|| future.as_mut().poll(cx)),
            None => future.as_mut().poll(cx),
        }
    }
}
