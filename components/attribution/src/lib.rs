//! Says which incoming request a guest works for, where the host cannot see it.
//!
//! Headwater attributes each outgoing request of a guest to an incoming one, by the call stack of the
//! component model. That is right as long as a request's work is polled in the request's own task, as
//! `async` code and `spawn_local` do it. If yours is polled elsewhere (by an executor, a pool of
//! workers, a queue that some other request empties, a future that several requests share), take a
//! [`Scope`] in the handler and give it along:
//!
//! ```no_run
//! # use headwater_attribution::Scope;
//! # fn shared_queue(work: impl Future<Output = ()> + 'static) {}
//! # async fn call_upstream() {}
//! # async fn handle() {
//! let scope = Scope::current();
//! shared_queue(Scope::wrap(scope, async {
//!     // Whoever polls this, its calls are attributed to this request.
//!     call_upstream().await;
//! }));
//! # }
//! ```
//!
//! A scope is of use while its request lives: until the answer is sent and the handler's task, with
//! all that was spawned in it, has ended. So let the handler (or a task that it spawned) wait for the
//! work that is done elsewhere. Used later, it has no effect.
//!
//! [`Scope::current`] names the request by a token of the interface `headwater:attribution/scope`, in
//! `wit/headwater-attribution`; a component that imports it runs only where the host offers it. With
//! the feature `wasip3`, [`Scope::by_id`] names it by its `x-request-id`, which [`named`] puts on the
//! outgoing requests that are made in the scope; without the default feature `token` such a component
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

/// Names one incoming request. Cheap to clone.
#[derive(Clone)]
pub struct Scope(Name);

#[derive(Clone)]
enum Name {
    #[cfg(feature = "token")]
    Token(token::Shared),
    #[cfg(feature = "wasip3")]
    Id(id::Shared),
}

/// A future whose every poll is done for one request; made by [`Scope::wrap`].
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

    /// Makes a future whose every poll is done for `scope`'s request, wherever it is polled; without
    /// a scope, the future as it is.
    pub fn wrap<F: Future>(scope: impl Into<Option<Self>>, future: F) -> InScope<F> {
        InScope {
            scope: scope.into(),
            future: Box::pin(future),
        }
    }

    /// Spawns a future in the task that is running, for this request: [`Scope::wrap`] for what is
    /// spawned by a task that works for others.
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
