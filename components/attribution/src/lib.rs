//! Says which incoming request a guest works for, where the host cannot see it.
//!
//! Headwater attributes each outgoing request of a guest to an incoming one, by the call stack of the
//! component model. That is right as long as a request's work is polled in the request's own task, as
//! `async` code and `spawn_local` do it. If yours is polled elsewhere (by an executor, a pool of
//! workers, a queue that some other request empties), take a [`Scope`] in the handler and give it
//! along:
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
//! The interface is `headwater:attribution/scope`, in `wit/headwater-attribution`. A component that
//! imports it runs only where the host offers it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

mod bindings {
    wit_bindgen::generate!({
        path: "../../wit/headwater-attribution",
        world: "imports",
    });
}

use bindings::headwater::attribution::scope::{self, Entered, Token};

/// Names one incoming request. Cheap to clone.
#[derive(Clone)]
pub struct Scope(Rc<Token>);

/// Until it is dropped, or the task yields to the host, calls are made for the scope's request.
///
/// Don't keep it across an `.await`: it lapses there, and the host reports as ambiguous what it can
/// no longer tell. [`Scope::wrap`] enters around each poll instead.
pub struct Guard {
    _entered: Entered,
}

/// A future whose every poll is done for one request; made by [`Scope::wrap`].
pub struct InScope<F> {
    scope: Option<Scope>,
    future: Pin<Box<F>>,
}

impl Scope {
    /// The request that is being worked for. To be called at the beginning of a handler. `None` if
    /// the host does not know it exactly.
    pub fn current() -> Option<Self> {
        scope::current().map(|token| Self(Rc::new(token)))
    }

    /// Runs `work`, which does not await, for this request.
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let _guard = self.enter();
        work()
    }

    /// Makes a future whose every poll is done for `scope`'s request, wherever it is polled; without
    /// a scope, the future as it is.
    pub fn wrap<F: Future>(scope: impl Into<Option<Self>>, future: F) -> InScope<F> {
        InScope {
            scope: scope.into(),
            future: Box::pin(future),
        }
    }

    /// Works for this request until the guard is dropped; see [`Guard`].
    pub fn enter(&self) -> Guard {
        Guard {
            _entered: self.0.enter(),
        }
    }

    /// Whether the request lives, and so whether this is of use.
    pub fn is_live(&self) -> bool {
        self.0.is_live()
    }
}

impl<F: Future> Future for InScope<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let _guard = self.scope.as_ref().map(Scope::enter);
        self.future.as_mut().poll(cx)
    }
}
