//! The vocabulary that every part of Headwater shares.
//!
//! A request travels as an [`http::Request`] with a [`Body`] and an `Arc` of its [`RequestScope`],
//! into a [`Handler`], and comes back as a response or as a [`Fault`].

mod attribution;
mod body;
mod choice;
mod ending;
mod fault;
pub mod fields;
mod handler;
pub mod hops;
mod id;
mod internal;
mod limits;
mod read_turn;
mod scope;

pub use attribution::{Attribution, Doubt, Verdict, Witness};
pub use body::{Body, BodyError, empty, full};
pub use choice::{
    AccessFormat, AttributionMode, Compat, GuestTraceparent, LogFormat, ResponseMode, ServiceName,
};
pub use fault::{Blame, Fault, explain, root_cause};
pub use handler::{Handler, HandlerFuture};
pub use hops::{Hops, LoopGuard};
pub use id::RequestId;
pub use internal::{AnswerFuture, Caller, InternalService};
pub use limits::Limits;
pub use read_turn::ReadTurn;
pub use scope::{Counters, RequestScope, ScopeParts};

pub use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
