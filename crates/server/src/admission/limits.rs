//! What requests may ask for, each limit with its default and the reason for it.

use std::num::NonZeroU32;
use std::time::Duration;

/// What a request may ask for, and how many there may be. The bytes and the number of a request's
/// header fields are the codec's to bound: see [`Http1Params`](crate::Http1Params) and
/// [`Http2Params`](crate::Http2Params).
#[derive(Debug, Clone)]
pub struct RequestLimits {
    /// The greatest length of a request's path and query, in bytes: 414 beyond it. Default: 8 KiB,
    /// which RFC 9110 (4.1) asks servers to support at least.
    pub max_uri: usize,
    /// The greatest request body, in bytes: 413 beyond it, at once where the request declares its
    /// length, else when it is passed, if the service has not answered by then. Default: 100 MiB,
    /// more than forms and most uploads have, and little enough to be sent by mistake. `None` is no
    /// limit.
    pub max_body: Option<u64>,
    /// How long a client may send nothing of a body that the service waits for: 408 beyond it, if
    /// the service has not answered by then. Default: 30 seconds, longer than a phone takes to find
    /// its network again.
    pub body_idle_timeout: Duration,
    /// Requests at once, of all connections together, each counted until its answer's last byte:
    /// 503 with `Retry-After` beyond it. Default: 10,000, as many as connections; each holds some
    /// tens of KiB. `None` is no limit.
    pub max_in_flight: Option<usize>,
    /// Requests at once of one client, by whichever connections, each counted until its answer's last
    /// byte: 429 with `Retry-After` beyond it. A client is what it is for
    /// [`client_rate`](Self::client_rate), and has no limit without an address. Default: 1,000, so that
    /// one client cannot take the places of all services, nor all of one; and no fewer, because one
    /// address may stand for many. `None` is no limit.
    pub max_in_flight_per_client: Option<usize>,
    /// How often one client may ask: 429 with `Retry-After` beyond it. A client is an IPv4 address
    /// or a network of 64 bits of IPv6, which is what one customer has. Clients without an address
    /// (Unix-domain sockets) are not limited. Default: none, because what is right depends on the
    /// service, and one address may stand for a whole company.
    pub client_rate: Option<Rate>,
}

/// What a service is asked for at most, whoever asks: clients, and services of the same host. Routes of
/// one service with the same limits have them together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct RouteLimits {
    /// Requests at once, each counted until its answer's last byte: 503 with `Retry-After` beyond
    /// it. Default: none but that of all.
    pub max_in_flight: Option<usize>,
    /// How often it may be asked: 429 with `Retry-After` beyond it. Default: none.
    pub rate: Option<Rate>,
    /// The greatest request body, in bytes, in place of [`RequestLimits::max_body`]. Default: that.
    pub max_body: Option<u64>,
}

/// So many requests in such a time, by a token bucket: evenly filled, and emptied by requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Requests...
    pub requests: NonZeroU32,
    /// ...in this time. Less than a nanosecond for each request counts as one.
    pub period: Duration,
    /// The size of the bucket: requests that may come at once after a pause.
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
