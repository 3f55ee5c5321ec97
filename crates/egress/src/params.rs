//! The parameters of the outgoing client, each with its default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{ContextName, LoopGuard};
use headwater_telemetry::Metrics;
use http::HeaderName;

use crate::{
    ClientTls, EgressLimits, EgressShared, GrantSource, Grants, H2c, InternalServices, Network,
    Proxy, Timeouts, TlsRoots, TraceHeaders,
};

/// The parameters of an [`Egress`](crate::Egress).
#[derive(Debug, Clone)]
pub struct EgressParams {
    /// The service's name.
    pub service: Arc<str>,
    /// The destinations that the service may reach.
    pub grants: Grants,
    /// The place where the grants are written, for messages. Default: the command line.
    pub grant_source: GrantSource,
    /// The timeouts, which are also the maximum for the guest's own.
    pub timeouts: Timeouts,
    /// The trace headers of its requests.
    pub trace_headers: TraceHeaders,
    /// Header fields of its requests that have a value of the context of the request that they are made for.
    /// If the guest sets such a field itself, its value is dropped. Default: none.
    pub context_headers: Vec<(HeaderName, ContextName)>,
    /// Limits on requests, connections and message sizes.
    pub limits: EgressLimits,
    /// The limits that it shares with other services.
    pub shared: EgressShared,
    /// The parameters of its connections.
    pub pool: PoolParams,
    /// Upstreams that speak HTTP/2 without TLS. Default: none, because the client cannot find out which do.
    pub h2c: Vec<H2c>,
    /// The trusted root certificates. Share them among services, so that the machine's are read once.
    pub tls_roots: TlsRoots,
    /// Further TLS settings. Default: none.
    pub tls: ClientTls,
    /// The forward proxy. Default: none.
    pub proxy: Proxy,
    /// The resolver and dialler. Default: the system's.
    pub network: Network,
    /// The metrics of its requests. Default: none.
    pub metrics: Metrics,
    /// The services of the same host. Default: none.
    pub internal: InternalServices,
    /// Names the host in outgoing requests. Share it with the front, which uses it to detect loops. Default:
    /// a new one.
    pub loops: LoopGuard,
}

/// The parameters of kept connections.
#[derive(Debug, Clone)]
pub struct PoolParams {
    /// Idle connections kept per scheme, host and port. Default: 32, which serves as many concurrent requests
    /// to an upstream without new connections.
    pub max_idle_per_host: usize,
    /// How long an idle connection is kept. Default: 90 seconds.
    pub idle_timeout: Duration,
    /// How long an HTTP/2 connection with open streams may be silent before the client sends a PING, and how
    /// long the answer may take. Default: 20 seconds, so that a dead path is found before its first requests
    /// time out. Nothing is sent on idle connections.
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
            context_headers: Vec::new(),
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
