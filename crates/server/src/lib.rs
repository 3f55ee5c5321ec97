//! The front: what stands between a socket and a [`Handler`](headwater_core::Handler).
//!
//! The life of a request: [`Server`] accepts a connection and gives it a task; the connection's
//! codec (HTTP/1.1 or HTTP/2) yields a request; the front gives it an id, takes up its trace
//! context, finds its [`Route`], makes its [`RequestScope`](headwater_core::RequestScope) and calls
//! the route's handler under a deadline. What the handler returns becomes the answer, and a
//! [`Fault`](headwater_core::Fault) becomes one too. The scope ends with the last byte, or with the
//! client's going away.
//!
//! A service that calls another of the same host passes its [`InternalFront`] in place of a socket: the
//! same is done for the request, from its id to its last byte.
//!
//! Nothing here knows what runs behind a handler.

mod accept;
mod admission;
mod answer;
mod bind_error;
mod body_wait;
mod builtin;
mod client_key;
mod clients;
mod clock;
mod codec;
mod coding;
mod connection;
mod conversation;
mod cookies;
mod counts;
mod crowd;
mod delivery;
mod endpoint;
mod entry;
mod exchange;
mod explanation;
mod forwarded;
mod front;
mod gate;
mod host;
mod in_flight;
mod inherited;
mod internal;
mod limits;
mod listener;
mod method;
mod overloads;
mod params;
mod patience;
mod peer;
mod proxy;
mod pulse;
mod rate;
mod reception;
mod refusal;
mod registry;
mod request_body;
mod response_body;
mod route;
mod router;
mod server;
mod service;
mod site;
mod socket;
mod streams;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod upload;
mod watched;
mod withheld;

pub use bind_error::BindError;
pub use builtin::{Files, FilesError, Fixed, Redirect, RedirectError};
pub use counts::{ConnectionCounts, Counts};
pub use endpoint::{BoundAddress, Endpoint, EndpointError};
pub use forwarded::{ForwardedFields, ForwardedParams};
pub use front::{Front, FrontParams, Retired};
pub use gate::Gate;
pub use host::{HostError, HostPattern};
pub use internal::InternalFront;
pub use limits::{Rate, RequestLimits, RouteLimits};
pub use params::{
    ConnectionLimits, ConnectionParams, DrainParams, Http1Params, Http2Params, ListenerParams,
    ProxyProtocol, ServerParams,
};
pub use registry::InFlight;
pub use route::Route;
pub use router::{RouteError, Router};
pub use server::{ServeOutcome, Server};
pub use tls::{
    CertificateConcern, CertificateParams, Certificates, ClientAuth, ReadCertificates, TlsError,
    TlsParams, UnknownNames,
};
