//! Chains: middlewares in front of a service.
//!
//! A [`Chain`] is a [`Handler`](headwater_core::Handler) made of others. It hands a request to its first
//! middleware, with a scope whose [`next`](headwater_core::RequestScope::next) is the rest of the chain. What a
//! middleware does with it is its own affair: it may answer itself, call the next once or several times, or
//! not at all, and it may go on after its response.
//!
//! Each link has a scope of its own for the request: a span, a deadline and an end. The id, the client and
//! the counters are those of the request, so everything that a link does is attributed to it. A fault names
//! the middleware that it comes from.

mod chain;
mod kept_request;
mod link_body;
mod native;
mod response_head;
mod run;

pub use chain::{Chain, ChainError, FailMode, MAX_MIDDLEWARES, Middleware, Target};
pub use native::{NextError, NextFuture, NextService, native};

#[cfg(test)]
mod tests;
