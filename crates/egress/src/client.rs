//! hyper-util's pooled client, as it is set up here.
//!
//! Its newer parts (`client::pool`) were weighed against it. They are sorts of cache to build such a
//! pool of, without a bound on the number of connections, idle timeouts or background connecting;
//! all of that would have to be written here. The client has it, and what it lacks, the bound,
//! belongs to the connector: see [`crate::connections`].

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

/// The clients of one service: one that speaks HTTP/1.1, or HTTP/2 where TLS agrees on it, and one
/// for upstreams that speak HTTP/2 without TLS.
pub(crate) struct Clients {
    usual: Pooled,
    h2c: Pooled,
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Usual,
    H2c,
}

/// The size of a head at which hyper gives up by itself, unless it is told otherwise.
const USUAL_BUFFER: usize = 8192 + 4096 * 100;

/// The fields of a head for which hyper has room on its stack.
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

    /// Sends a request, of which `connection` tells when it is given a connection.
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
        // A kept connection that turns out closed; only a request of which nothing was sent.
        .retry_canceled_requests(true)
        .http2_only(protocol == Protocol::H2c)
        .http2_keep_alive_interval(h2_keep_alive)
        .http2_keep_alive_timeout(h2_keep_alive)
        // h2 resets a stream whose fields are larger, and says no more than that it did. So that most
        // of those are named for what they are, it may take twice what is passed on.
        .http2_max_header_list_size(
            u32::try_from(limits.response_head.saturating_mul(2)).unwrap_or(u32::MAX),
        );
    // Only if need be: hyper asks for memory for each response when the number is set, even to the
    // usual one.
    if limits.response_fields > USUAL_FIELDS {
        builder.http1_max_headers(limits.response_fields);
    }
    if limits.response_head > USUAL_BUFFER {
        builder.http1_max_buf_size(limits.response_head);
    }
    builder.build(connector)
}
