//! The HTTP server in front of a [`Handler`](headwater_core::Handler).
//!
//! The life of a request: [`Server`] accepts a connection and gives it a task; the connection's codec
//! (HTTP/1.1 or HTTP/2) yields a request; the front gives it an id, reads its trace context, finds its
//! [`Route`], makes its [`RequestScope`](headwater_core::RequestScope) and calls the route's handler under a
//! deadline. The handler's response, or its [`Fault`](headwater_core::Fault), becomes the answer. The scope
//! ends with the last byte, or when the client goes away.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use headwater_core::Handler;
//! use headwater_server::{Front, FrontParams, Route, Router, Server, ServerParams};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn serve(shop: Arc<dyn Handler>) -> Result<(), Box<dyn std::error::Error>> {
//! let router = Router::new([Route::new("/shop/...", "shop", shop)])?;
//! let front = Front::new(FrontParams::default(), router);
//! let server = Server::bind(ServerParams::default()).await?;
//! println!("listening on {}", server.addresses()[0]);
//! server.serve(front, CancellationToken::new()).await;
//! # Ok(())
//! # }
//! ```
//!
//! A service that calls another of the same host uses its [`InternalFront`] in place of a socket: the request
//! gets the same treatment.
//!
//! This crate does not know what runs behind a handler.

mod admission;
mod builtin;
mod connection;
mod endpoint;
mod listener;
mod params;
mod pipeline;
mod request;
mod response;
mod routing;
mod server;
mod stall_timer;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;

pub use admission::limits::{Rate, RequestLimits, RouteLimits};
pub use admission::service_limits::ServiceLimits;
pub use builtin::{Files, FilesError, Fixed, Redirect, RedirectError};
pub use connection::counts::{ConnectionCounts, Counts};
pub use endpoint::{BoundAddress, Endpoint, EndpointError};
pub use listener::acceptor::ServeOutcome;
pub use listener::bind_error::BindError;
pub use params::{
    ConnectionLimits, ConnectionParams, DrainParams, Http1Params, Http2Params, ListenerParams,
    ProxyProtocol, ServerParams,
};
pub use pipeline::front::{Front, FrontParams, Retired};
pub use pipeline::http_service::{ClientAddress, HttpService};
pub use pipeline::in_flight_requests::InFlight;
pub use pipeline::internal::InternalFront;
pub use request::forwarded::{ForwardedFields, ForwardedParams};
pub use routing::route::Route;
pub use routing::router::{RouteError, Router};
pub use routing::virtual_host::{VirtualHost, VirtualHostError};
pub use server::Server;
pub use tls::{
    CertificateConcern, CertificateParams, Certificates, ClientAuth, ReadCertificates, TlsError,
    TlsParams, UnknownNames,
};
