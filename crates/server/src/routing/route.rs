//! A pattern with its handler.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::Handler;

use crate::admission::limits::RouteLimits;
use crate::admission::service_limits::ServiceLimits;
use crate::routing::virtual_host::VirtualHost;

/// A pattern with its handler.
#[derive(Clone)]
#[non_exhaustive]
pub struct Route {
    /// `/x` for exactly this path, `/x/...` for `/x`, `/x/` and everything below, `/...` for all.
    ///
    /// `{name}` in place of a segment stands for any one segment that is not empty. The service gets its
    /// text, not decoded, in the request field `headwater-route-name`. Names are letters, digits, `_` and
    /// `-`, and begin with a letter. Literal braces are doubled: `{{` and `}}`.
    pub pattern: Arc<str>,
    /// The hosts of the route. Default: all. A route for a host precedes one for all hosts below a domain,
    /// and that one precedes a route for all hosts.
    pub hosts: Vec<VirtualHost>,
    /// The service's name, for traces and logs.
    pub service: Arc<str>,
    /// The handler.
    pub handler: Arc<dyn Handler>,
    /// How long a request may take until its response head. Default: 30 seconds, the patience of browsers'
    /// users, and less than the 60 of common proxies.
    pub timeout: Duration,
    /// If true, the service does not see the part of the path that the pattern has before `/...`: it sees
    /// `/b` for `/a/b` at `/a/...`, and `/` for a pattern without `/...`. The request field
    /// `x-forwarded-prefix` has the removed part. Default: false.
    pub strip_prefix: bool,
    /// Limits on the requests to the service.
    pub limits: RouteLimits,
    /// The counts against the limits, made with the same limits. Default: the router makes one for all routes
    /// of the service that have these limits and no counts of their own.
    pub service_limits: Option<ServiceLimits>,
}

// === impl Route ===

impl Route {
    /// Makes a route for all hosts, with the defaults for everything else.
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

    /// Returns the counts against its limits, if it has limits; makes new counts if it has none.
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

headwater_core::debug_fields!(Route {
    pattern,
    hosts,
    service,
    timeout,
    strip_prefix,
    limits
});
