//! The types that all crates of Headwater share.
//!
//! A request travels as an [`http::Request`] with a [`Body`] and an `Arc` of its [`RequestScope`]
//! to a [`Handler`], and comes back as a response or as a [`Fault`], which says who is to blame.
//! Your own handlers work beside components and WAGI modules, behind the same front:
//!
//! ```
//! use std::sync::Arc;
//!
//! use headwater_core::{Body, Fault, Handler, HandlerFuture, RequestScope, full};
//! use http::{Method, Request, Response, StatusCode};
//!
//! /// Answers with the id of the request.
//! struct Who;
//!
//! impl Handler for Who {
//!     fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
//!         let answer = match *request.method() {
//!             Method::GET => Ok(Response::new(full(format!("{}\n", scope.id())))),
//!             _ => Err(Fault::client(
//!                 StatusCode::METHOD_NOT_ALLOWED,
//!                 "method_not_allowed",
//!                 "only GET is answered",
//!             )),
//!         };
//!         Box::pin(async { answer })
//!     }
//! }
//! ```

mod answer;
mod attribution;
mod body;
mod call_next;
mod chain;
mod choice;
mod context;
mod debug;
mod ending;
mod fault;
pub mod fields;
mod file_stamps;
mod handler;
pub mod hops;
mod id;
mod internal;
mod limits;
mod printable;
mod read_turn;
mod scope;

pub use attribution::{Attribution, Doubt, Verdict, Witness};
pub use body::{Body, BodyError, PolledFrame, empty, full};
pub use call_next::call_next;
pub use chain::{LinkParts, Next, NextCall};
pub use choice::{
    AccessFormat, AttributionMode, Compat, GuestTraceparent, LogFormat, ResponseMode, ServiceName,
};
pub use context::{
    CONTEXT_VARIABLE, ContextError, ContextName, ContextNameError, ContextNames, MAX_CONTEXT_BYTES,
    MAX_CONTEXT_NAME, MAX_CONTEXT_VALUE, MAX_CONTEXT_VALUES, RequestContext,
};
pub use fault::{Blame, Fault, explain, root_cause};
pub use file_stamps::{FileIdentity, FileStamps};
pub use handler::{Handler, HandlerFuture};
pub use hops::{Hops, LoopGuard};
pub use id::RequestId;
pub use internal::{AnswerFuture, Caller, InternalService};
pub use limits::Limits;
pub use printable::{Printable, REDACTED};
pub use read_turn::ReadTurn;
pub use scope::{Counters, RequestScope, ScopeKey, ScopeParts};

pub use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
