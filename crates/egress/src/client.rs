//! The configuration of hyper-util's pooled client.
//!
//! Its newer modules (`client::pool`) were considered. They are caches for building such a pool, without a
//! limit on connections, idle timeouts or background connecting, all of which would have to be written here.
//! The client has all but the limit, which is the connector's: see [`crate::connections`].

use headwater_core::Body;
use http::Request;
use hyper_util::client::legacy::connect::CaptureConnection;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::task::futures::TaskLocalFuture;

use crate::limits::EgressLimits;
use crate::params::PoolParams;
use crate::tracked::{ASKING, Tracked};

type Pooled = Client<Tracked, Body>;

/// The clients of a service: for HTTP/1.1, or HTTP/2 by TLS negotiation, and for HTTP/2 without TLS.
pub(crate) struct Clients {
    usual: Pooled,
    h2c: Pooled,
}

/// The client of an upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Usual,
    H2c,
}

/// hyper's default limit on the size of a head.
const USUAL_BUFFER: usize = 8192 + 4096 * 100;

/// The number of fields that hyper keeps on its stack.
const USUAL_FIELDS: usize = 100;

// === impl Clients ===

impl Clients {
    pub(crate) fn new(connector: Tracked, pool: &PoolParams, limits: &EgressLimits) -> Self {
        Self {
            usual: client(connector.clone(), Protocol::Usual, pool, limits),
            h2c: client(
                Tracked {
                    h2c: true,
                    ..connector
                },
                Protocol::H2c,
                pool,
                limits,
            ),
        }
    }

    /// Sends a request; `connection` yields the connection that it is given.
    pub(crate) fn send(
        &self,
        request: Request<Body>,
        connection: &CaptureConnection,
        protocol: Protocol,
    ) -> TaskLocalFuture<CaptureConnection, ResponseFuture> {
        let response = match protocol {
            Protocol::Usual => self.usual.request(request),
            Protocol::H2c => self.h2c.request(request),
        };
        ASKING.scope(connection.clone(), response)
    }
}

fn client(
    connector: Tracked,
    protocol: Protocol,
    pool: &PoolParams,
    limits: &EgressLimits,
) -> Pooled {
    let PoolParams {
        max_idle_per_host,
        idle_timeout,
        h2_keep_alive,
    } = *pool;
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(idle_timeout)
        .pool_max_idle_per_host(max_idle_per_host)
        // From the URI's authority.
        .set_host(true)
        // Applies if a kept connection turns out closed, and only to requests of which nothing was sent.
        .retry_canceled_requests(true)
        .http2_only(protocol == Protocol::H2c)
        .http2_keep_alive_interval(h2_keep_alive)
        .http2_keep_alive_timeout(h2_keep_alive)
        // h2 resets a stream with larger fields, without a reason. With twice the limit, most responses with
        // too many fields get a precise error.
        .http2_max_header_list_size(
            u32::try_from(limits.response_head.saturating_mul(2)).unwrap_or(u32::MAX),
        );
    // Only if necessary: when the number is set, even to the default, hyper allocates for each response.
    if limits.response_fields > USUAL_FIELDS {
        builder.http1_max_headers(limits.response_fields);
    }
    if limits.response_head > USUAL_BUFFER {
        builder.http1_max_buf_size(limits.response_head);
    }
    builder.build(connector)
}
