//! What guests print: lines, each a log record that says which request it is of.
//!
//! A guest prints in pieces, and the pieces of requests that share an instance come in any order. So
//! each piece is attributed as it is written (by [`crate::linker`]), and an instance has a line buffer
//! for each request and stream ([`InstanceOutput`]): no line of one request is glued to another's. A
//! piece that is of no known request is a line by itself, because nothing says where it belongs.
//!
//! What is logged is bounded, for each request and for each service ([`ServiceOutput`]): a guest that
//! does nothing but print should fill a screen, not a disk.

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
