//! Every knob of the outgoing client, each with its default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::LoopGuard;
use headwater_telemetry::Metrics;

use crate::{Grants, InternalServices, TlsRoots, TraceHeaders};

/// What an [`Egress`](crate::Egress) is made of.
#[derive(Debug, Clone)]
pub struct EgressParams {
    /// The service that calls out.
    pub service: Arc<str>,
    /// What it may reach.
    pub grants: Grants,
    /// What holds where the guest asks for nothing.
    pub timeouts: Timeouts,
    /// Which trace headers its requests carry.
    pub trace_headers: TraceHeaders,
    /// Its connections.
    pub pool: PoolParams,
    /// Whom TLS trusts; share one among services, so that the machine's roots are read once.
    pub tls_roots: TlsRoots,
    /// What is measured with. Default: nothing is.
    pub metrics: Metrics,
    /// The services of the same host. Default: none.
    pub internal: InternalServices,
    /// What names the host in its outgoing requests. To be shared with the front, which knows by it
    /// what goes round in circles. Default: one of its own.
    pub loops: LoopGuard,
}

/// How long each phase of an outgoing request may take.
#[derive(Debug, Clone)]
pub struct Timeouts {
    /// Name resolution, connecting and the TLS handshake, together. Default: 10 seconds, three
    /// retransmissions of a lost SYN (after 1, 3 and 7 seconds). It also bounds what a guest asks
    /// for, since a connection that is being made may serve another request.
    pub connect: Duration,
    /// From the connection to the response's head, the sending of the request included. Default: 60
    /// seconds, what proxies commonly wait.
    pub first_byte: Duration,
    /// Between two parts of the response's body, while the guest waits for one. Default: 60 seconds.
    pub between_bytes: Duration,
}

/// How connections are kept.
#[derive(Debug, Clone)]
pub struct PoolParams {
    /// Idle connections kept per scheme, host and port. Default: 32, which serves as many concurrent
    /// requests to an upstream without a new connection for each.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept. Default: 90 seconds.
    pub idle_timeout: Duration,
}

/// What a guest asks for one request (`request-options`); `None` leaves it to the [`Timeouts`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendOptions {
    /// See [`Timeouts::connect`].
    pub connect_timeout: Option<Duration>,
    /// See [`Timeouts::first_byte`].
    pub first_byte_timeout: Option<Duration>,
    /// See [`Timeouts::between_bytes`].
    pub between_bytes_timeout: Option<Duration>,
}

impl EgressParams {
    /// The defaults for a service, which may reach nothing.
    #[must_use]
    pub fn new(service: impl Into<Arc<str>>) -> Self {
        Self {
            service: service.into(),
            grants: Grants::none(),
            timeouts: Timeouts::default(),
            trace_headers: TraceHeaders::default(),
            pool: PoolParams::default(),
            tls_roots: TlsRoots::default(),
            metrics: Metrics::default(),
            internal: InternalServices::default(),
            loops: LoopGuard::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            between_bytes: Duration::from_secs(60),
        }
    }
}

impl Default for PoolParams {
    fn default() -> Self {
        Self {
            max_idle_per_host: 32,
            idle_timeout: Duration::from_secs(90),
        }
    }
}
