//! The output of guests: lines, each a log record with its request.
//!
//! A guest prints in pieces, and the pieces of requests that share an instance come in any order. So
//! each piece is attributed as it is written (by [`crate::linker`]), and an instance has a line buffer
//! for each request and stream ([`InstanceOutput`]): lines of different requests are never joined. A
//! piece that is not attributed is a line by itself, because nothing says where it belongs.
//!
//! Logged output is bounded for each request and each service ([`ServiceOutput`]): a guest that does
//! nothing but print should fill a screen, not a disk.

mod allowance;
mod instance;
mod lines;
mod service;
mod streams;

#[cfg(test)]
pub(crate) mod testing;

pub(crate) use instance::{InstanceOutput, Origin};
pub use service::ServiceOutput;
pub(crate) use service::Stream;
pub use streams::RequestStderr;
pub(crate) use streams::{Outbox, PERMIT, Stdio};
