//! Proves attribution: sends a random mix of all that is hard to attribute, with many requests at
//! once, and compares every outgoing request with the request it was made for.
//!
//! Each request has its own tag, which its guest passes on to the upstream, and its own
//! `traceparent`. The upstream records both for each call; the host's trace file has the request to
//! which the host attributed the call, how surely, and by which witness. [`mix`] has the requests,
//! and the verdicts that `docs/explanation/attribution.md` allows for them; the judge compares.

mod judge;
pub mod mix;
mod observed;
mod plan;
mod report;
mod request;
mod run;

pub use report::Report;
pub use run::{Options, prove};
