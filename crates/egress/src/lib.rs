//! The outgoing HTTP client that services call out by.
//!
//! An outgoing request passes, in this order: the [`Grants`] of its service, name resolution, a look
//! at the addresses (`docs/egress-policy.md`), and a pooled connection; each is a step of its own. It
//! carries the `traceparent` of its own span, a child of the request that it is attributed to, or the guest's
//! ([`TraceHeaders`]). What goes wrong
//! is an [`EgressError`], which says as much as `wasi:http`'s error codes can.
//!
//! Each service has an [`Egress`] of its own: connections and TLS sessions are never shared.

mod address;
mod audit;
mod connector;
mod dial;
mod egress;
mod error;
mod grants;
mod host_pattern;
mod params;
mod policy;
mod proxy;
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
mod transport;

pub use connector::Network;
pub use egress::Egress;
pub use error::EgressError;
pub use grants::{Grant, GrantError, Grants};
pub use host_pattern::{HostPattern, HostPatternError};
pub use params::{EgressParams, PoolParams, SendOptions, Timeouts};
pub use proxy::{Proxy, ProxyError};
pub use tls::{ClientIdentity, TlsFileError, TlsRoots, TlsSettings};
pub use trace_headers::{GuestTraceparent, TraceHeaders};
