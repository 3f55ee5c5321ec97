//! The limits on requests, with their defaults and the reasons for these.

use std::num::NonZeroU32;
use std::time::Duration;

/// Limits on the size and number of requests. The codec limits the size and number of a request's header
/// fields: see [`Http1Params`](crate::Http1Params) and [`Http2Params`](crate::Http2Params).
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// The maximum length of a request's path and query, in bytes; longer ones get a 414. Default: 8 KiB, the
    /// least that RFC 9110 (4.1) asks servers to support.
    pub max_uri: usize,
    /// The maximum request body, in bytes; larger ones get a 413: at once if the request declares its length,
    /// else when the limit is passed, unless the service has answered by then. Default: 100 MiB, more than
    /// forms and most uploads have. `None` is no limit.
    pub max_body: Option<u64>,
    /// How long a client may pause in a body that the service waits for; then 408, unless the service has
    /// answered. Default: 30 seconds, longer than a phone takes to find its network again.
    pub body_idle_timeout: Duration,
    /// Requests in flight over all connections, each counted until its answer's last byte; more get a 503
    /// with `Retry-After`. Default: 10,000, as many as connections; each holds some tens of KiB. `None` is no
    /// limit.
    pub max_in_flight: Option<usize>,
    /// Requests in flight of one client over all its connections, each counted until its answer's last byte;
    /// more get a 429 with `Retry-After`. Clients are told apart as for [`client_rate`](Self::client_rate);
    /// those without an address have no limit. Default: 1,000, so that one client cannot take the places of
    /// all services or of one; not fewer, because one address may stand for many clients. `None` is no limit.
    pub max_in_flight_per_client: Option<usize>,
    /// The request rate of one client; more get a 429 with `Retry-After`. A client is an IPv4 address or an
    /// IPv6 /64 network, which one customer has. Clients without an address (Unix-domain sockets) are not
    /// limited. Default: none, because the right rate depends on the service, and one address may stand for a
    /// whole company.
    pub client_rate: Option<Rate>,
}

/// Limits on the requests to one service, from clients and from services of the same host. Routes of one
/// service with the same limits share the counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RouteLimits {
    /// Requests in flight, each counted until its answer's last byte; more get a 503 with `Retry-After`.
    /// Default: only the limit on all requests.
    pub max_in_flight: Option<usize>,
    /// The request rate; more get a 429 with `Retry-After`. Default: none.
    pub rate: Option<Rate>,
    /// The maximum request body, in bytes, in place of [`RequestLimits::max_body`], the default.
    pub max_body: Option<u64>,
}

/// A number of requests in a period, by a token bucket that is refilled evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// The number of requests.
    pub requests: NonZeroU32,
    /// The period. Less than a nanosecond per request counts as one.
    pub period: Duration,
    /// The size of the bucket: the requests that may come at once after a pause.
    pub burst: NonZeroU32,
}

impl Default for RequestLimits {
    fn default() -> Self {
        Self {
            max_uri: 8 << 10,
            max_body: Some(100 << 20),
            body_idle_timeout: Duration::from_secs(30),
            max_in_flight: Some(10_000),
            max_in_flight_per_client: Some(1_000),
            client_rate: None,
        }
    }
}
