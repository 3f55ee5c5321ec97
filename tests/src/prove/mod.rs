//! The proof of attribution: a random mix of all that is hard to attribute, at high concurrency, of
//! which every outgoing request is compared with what it was made for.
//!
//! Each request has a tag of its own, which its guest passes on to the upstream, and a `traceparent` of
//! its own. The upstream notes both of each call; the host's trace file says to which request the host
//! attributed the call, how surely and by which witness. [`mix`] says what is sent, and which verdicts
//! `docs/explanation/attribution.md` allows for it; the judge compares.

mod judge;
pub mod mix;
mod observed;
mod plan;
mod report;
mod request;
mod run;

pub use report::Report;
pub use run::{Options, prove};
