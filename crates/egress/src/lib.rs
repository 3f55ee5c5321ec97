//! The outgoing HTTP client that services call out by.
//!
//! An outgoing request passes, in this order: the [`Grants`] of its service, name resolution, a look
//! at the addresses, and a pooled connection; each is a step of its own. It carries the
//! `traceparent` of its own span, a child of the request that it is attributed to, or the guest's
//! ([`TraceHeaders`]). What goes wrong
//! is an [`EgressError`], which says as much as `wasi:http`'s error codes can.
//!
//! A request to a service of the same host ([`InternalServices`]) takes no connection: that service's
//! front is called in its place.
//!
//! Each service has an [`Egress`] of its own: connections and TLS sessions are never shared.

mod connector;
mod egress;
mod error;
mod grants;
mod incoming;
mod internal;
mod params;
mod request_body;
mod resolve;
mod response_body;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod trace_headers;

pub use egress::Egress;
pub use error::EgressError;
pub use grants::{Grant, GrantError, Grants};
pub use internal::{InternalNameError, InternalServices};
pub use params::{EgressParams, PoolParams, SendOptions, Timeouts};
pub use tls::TlsRoots;
pub use trace_headers::{GuestTraceparent, TraceHeaders};
