//! The outgoing HTTP client of services.
//!
//! An outgoing request passes the [`Grants`] of its service, the limits on requests in flight
//! ([`EgressLimits`]), and a pooled connection, for which a name is resolved and its addresses are checked
//! (`docs/reference/egress-policy.md`). Each step has a timeout ([`Timeouts`]). The request carries the
//! `traceparent` of its own span, a child of the request that it is attributed to, or the guest's
//! ([`TraceHeaders`]). Errors are [`EgressError`]s, as precise as `wasi:http`'s error codes. Why the client is
//! our own: `docs/decisions/0006-egress.md`.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use headwater_core::{Attribution, RequestScope, Witness, empty};
//! use headwater_egress::{Egress, EgressError, EgressParams, Grants, SendOptions};
//!
//! # async fn send(scope: Arc<RequestScope>) -> Result<(), Box<dyn std::error::Error>> {
//! let egress = Egress::new(EgressParams {
//!     grants: Grants::parse(["https://api.example.com"])?,
//!     ..EgressParams::new("shop")
//! });
//! let request = http::Request::get("https://api.example.com/prices").body(empty())?;
//! let attribution = Attribution::exact(scope, Witness::Sole);
//! match egress.send(request, SendOptions::default(), attribution).await {
//!     Ok(response) => println!("{}", response.status()),
//!     Err(error @ EgressError::Denied { .. }) => println!("not granted: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! A request to a service of the same host ([`InternalServices`]) takes no connection: that service's front
//! is called instead.
//!
//! Each service has its own [`Egress`]: connections and TLS sessions are never shared.

mod address;
mod audit;
mod client;
mod connection;
mod connections;
mod connector;
mod context_headers;
mod dial;
mod egress;
mod error;
mod exchange;
mod grant_source;
mod grants;
mod h2c;
mod head;
mod host_pattern;
mod interim;
mod internal;
mod limits;
mod met;
mod open_connections;
mod params;
mod policy;
mod proxy;
mod request_body;
mod resolve;
mod response_body;
mod shared;
mod stopwatch;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod timeouts;
mod tls;
mod totals;
mod trace_headers;
mod tracked;
mod transport;
mod upload;
mod waiters;

pub use connector::Network;
pub use egress::Egress;
pub use error::EgressError;
pub use grant_source::GrantSource;
pub use grants::{Grant, GrantError, Grants};
pub use h2c::{H2c, H2cError};
pub use host_pattern::{HostPattern, HostPatternError};
pub use internal::{InternalNameError, InternalServices};
pub use limits::{EgressLimits, Limit, SharedLimits};
pub use params::{EgressParams, PoolParams};
pub use proxy::{Proxy, ProxyError};
pub use shared::EgressShared;
pub use timeouts::{SendOptions, Timeouts};
pub use tls::{ClientIdentity, ClientTls, TlsFileError, TlsRoots};
pub use totals::{ConnectionCount, EgressTotals};
pub use trace_headers::{GuestTraceparent, TraceHeaders};
