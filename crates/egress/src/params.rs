//! Every knob of the outgoing client, each with its default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::LoopGuard;
use headwater_telemetry::Metrics;

use crate::{
    ClientTls, EgressLimits, EgressShared, GrantSource, Grants, H2c, InternalServices, Network,
    Proxy, Timeouts, TlsRoots, TraceHeaders,
};

/// What an [`Egress`](crate::Egress) is made of.
#[derive(Debug, Clone)]
pub struct EgressParams {
    /// The service that calls out.
    pub service: Arc<str>,
    /// What it may reach.
    pub grants: Grants,
    /// Where that is written, for messages. Default: on the command line.
    pub grant_source: GrantSource,
    /// What holds where the guest asks for nothing.
    pub timeouts: Timeouts,
    /// Which trace headers its requests carry.
    pub trace_headers: TraceHeaders,
    /// How much may go out at once, and how large messages may be.
    pub limits: EgressLimits,
    /// The bounds that it shares with other services.
    pub shared: EgressShared,
    /// Its connections.
    pub pool: PoolParams,
    /// Upstreams that are spoken to by HTTP/2 without TLS. Default: none, for there is no telling
    /// from the outside which can.
    pub h2c: Vec<H2c>,
    /// Whom TLS trusts; share one among services, so that the machine's roots are read once.
    pub tls_roots: TlsRoots,
    /// What its TLS is besides. Default: nothing.
    pub tls: ClientTls,
    /// By which forward proxy it goes. Default: by none.
    pub proxy: Proxy,
    /// By what addresses are found and reached. Default: the system.
    pub network: Network,
    /// What is measured with. Default: nothing is.
    pub metrics: Metrics,
    /// The services of the same host. Default: none.
    pub internal: InternalServices,
    /// What names the host in its outgoing requests. To be shared with the front, which knows by it
    /// what goes round in circles. Default: one of its own.
    pub loops: LoopGuard,
}

/// How connections are kept.
#[derive(Debug, Clone)]
pub struct PoolParams {
    /// Idle connections kept per scheme, host and port. Default: 32, which serves as many concurrent
    /// requests to an upstream without a new connection for each.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept. Default: 90 seconds.
    pub idle_timeout: Duration,
    /// How long an HTTP/2 connection with open streams may be silent before the upstream is asked
    /// whether it is there, and how long it then has to say so. Default: 20 seconds, so that a path
    /// that has gone dead is found before the first requests on it time out. Nothing is sent on idle
    /// connections.
    pub h2_keep_alive: Duration,
}

impl EgressParams {
    /// The defaults for a service, which may reach nothing.
    #[must_use]
    pub fn new(service: impl Into<Arc<str>>) -> Self {
        Self {
            service: service.into(),
            grants: Grants::none(),
            grant_source: GrantSource::default(),
            timeouts: Timeouts::default(),
            trace_headers: TraceHeaders::default(),
            limits: EgressLimits::default(),
            shared: EgressShared::default(),
            pool: PoolParams::default(),
            h2c: Vec::new(),
            tls_roots: TlsRoots::default(),
            tls: ClientTls::default(),
            proxy: Proxy::default(),
            network: Network::default(),
            metrics: Metrics::default(),
            internal: InternalServices::default(),
            loops: LoopGuard::default(),
        }
    }
}

impl Default for PoolParams {
    fn default() -> Self {
        Self {
            max_idle_per_host: 32,
            idle_timeout: Duration::from_secs(90),
            h2_keep_alive: Duration::from_secs(20),
        }
    }
}
