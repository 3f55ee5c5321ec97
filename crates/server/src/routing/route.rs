//! Who answers where.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::Handler;

use crate::admission::limits::RouteLimits;
use crate::admission::service_limits::ServiceLimits;
use crate::routing::virtual_host::VirtualHost;

/// One pattern and who answers for it.
#[derive(Clone)]
#[non_exhaustive]
pub struct Route {
    /// `/x` for exactly this path, `/x/...` for `/x`, `/x/` and everything below, `/...` for all.
    ///
    /// `{name}` in place of a segment stands for any one segment, empty ones excepted, and its text
    /// reaches the service as the request field `headwater-route-name`, as it came (nothing is
    /// decoded). Names are letters, digits, `_` and `-`, and begin with a letter. Braces that are
    /// meant as such are doubled: `{{` and `}}`.
    pub pattern: Arc<str>,
    /// The hosts that the route holds for. Default: all. A route for a host goes before one for all
    /// below a domain, and that before one for all hosts.
    pub hosts: Vec<VirtualHost>,
    /// The service's name, for traces and logs.
    pub service: Arc<str>,
    /// What answers.
    pub handler: Arc<dyn Handler>,
    /// How long a request may take until its response head. Default: 30 seconds, which is what
    /// browsers' users have patience for, and under the 60 of common proxies.
    pub timeout: Duration,
    /// Whether the service sees the path without what the pattern has before `/...`: `/b` for
    /// `/a/b` at `/a/...`, and `/` for a pattern without `/...`. What was taken away is then in the
    /// request field `x-forwarded-prefix`. Default: no.
    pub strip_prefix: bool,
    /// What the service is asked for at most.
    pub limits: RouteLimits,
    /// What counts against them, made of the same limits. Default: the router makes one, for all routes
    /// of the service that have these limits and none of their own.
    pub service_limits: Option<ServiceLimits>,
}

// === impl Route ===

impl Route {
    /// Makes a route for all hosts, with the defaults for all else.
    #[must_use]
    pub fn new(
        pattern: impl Into<Arc<str>>,
        service: impl Into<Arc<str>>,
        handler: Arc<dyn Handler>,
    ) -> Self {
        Self {
            pattern: pattern.into(),
            hosts: Vec::new(),
            service: service.into(),
            handler,
            timeout: Duration::from_secs(30),
            strip_prefix: false,
            limits: RouteLimits::default(),
            service_limits: None,
        }
    }

    /// What counts against its limits, if anything does; made of them if it has none of its own.
    pub(crate) fn counted_limits(
        &self,
        make: impl FnOnce(&RouteLimits) -> ServiceLimits,
    ) -> Option<ServiceLimits> {
        let limits = &self.limits;
        let is_counted = limits.max_in_flight.is_some() || limits.rate.is_some();
        let own = || self.service_limits.clone();
        is_counted.then(|| own().unwrap_or_else(|| make(limits)))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("pattern", &self.pattern)
            .field("hosts", &self.hosts)
            .field("service", &self.service)
            .field("timeout", &self.timeout)
            .field("strip_prefix", &self.strip_prefix)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
