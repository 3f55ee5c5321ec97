//! Services that can answer, and where.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_config::RouteConfig;
use headwater_core::Handler;
use headwater_egress::Egress;
use headwater_runtime::capability::{Explained, Grant};
use headwater_runtime::{ComponentService, OutgoingHttp};
use headwater_server::{InternalFront, Route, RouteLimits, Router, ServiceLimits, VirtualHost};
use headwater_wagi::WagiModule;

use crate::build::services::SharedResources;
use crate::spec::builtins::Builtin;
use crate::spec::service_spec::{ServiceSpec, ServiceSummary};

/// A service that can answer.
pub(crate) struct RunningService {
    pub(crate) outline: Arc<ServiceSummary>,
    /// By which it is known whether it is still what it was. `None`: it never is.
    pub(crate) spec: Option<Arc<ServiceSpec>>,
    pub(crate) runner: Runner,
    /// What it calls out by, if it can.
    pub(crate) egress: Egress,
    pub(crate) routes: Vec<RouteConfig>,
    pub(crate) timeout: Duration,
    pub(crate) route_limits: RouteLimits,
    pub(crate) service_limits: ServiceLimits,
}

/// What answers for a service. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Runner {
    Component(Arc<ComponentService>),
    Module(Arc<WagiModule>),
}

/// Which path each service answers, and each of what is built in.
pub(crate) fn router(services: &[Arc<RunningService>], builtins: &[Builtin]) -> Result<Router> {
    let mut routes = Vec::new();
    for service in services {
        routes.extend(service.all_routes()?);
    }
    for builtin in builtins {
        routes.extend(builtin.routes.iter().cloned());
    }
    Ok(Router::new(routes)?)
}

/// By which the services reach each other.
pub(crate) fn fronts(
    services: &[Arc<RunningService>],
    common: &SharedResources,
) -> Vec<Arc<InternalFront>> {
    let front = |service: &Arc<RunningService>| {
        let (metrics, loops) = (common.metrics.clone(), common.loops.clone());
        // Its pattern counts for nothing there.
        let front = InternalFront::new(service.route("/..."), metrics, loops);
        let front = front.with_access(common.access.clone());
        Arc::new(front.with_explanations(common.explain))
    };
    services.iter().map(front).collect()
}

// === impl RunningService ===

impl RunningService {
    /// A module that is routed to by others than [`router`].
    pub(crate) fn module(
        outline: ServiceSummary,
        module: WagiModule,
        egress: Egress,
        routes: Vec<RouteConfig>,
    ) -> Self {
        let route_limits = RouteLimits::default();
        Self {
            outline: Arc::new(outline),
            spec: None,
            timeout: module.settings().limits.request_timeout,
            runner: Runner::Module(Arc::new(module)),
            egress,
            routes,
            service_limits: ServiceLimits::new(&route_limits),
            route_limits,
        }
    }

    /// What it is granted by host interfaces.
    pub(crate) fn explain(&self) -> Vec<Explained> {
        let outgoing = Grant::new(OutgoingHttp, self.egress.clone().into());
        let mut explained = outgoing.explain();
        explained.extend(self.outline.capabilities.explain());
        explained
    }

    /// What it is granted, by what it is, as JSON.
    pub(crate) fn grants(&self) -> serde_json::Value {
        let facts = self.explain().into_iter().filter_map(|line| match line {
            Explained::Fact { what, items } => Some((what.replace(' ', "_"), items.into())),
            Explained::Warning(_) => None,
        });
        facts.collect::<serde_json::Map<_, _>>().into()
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.outline.name
    }

    /// Whether it is the same that answers, wherever it does.
    pub(crate) fn is(&self, other: &Self) -> bool {
        match (&self.runner, &other.runner) {
            (Runner::Component(this), Runner::Component(that)) => Arc::ptr_eq(this, that),
            (Runner::Module(this), Runner::Module(that)) => Arc::ptr_eq(this, that),
            _ => false,
        }
    }

    fn all_routes(&self) -> Result<Vec<Route>> {
        let places = self.routes.iter().map(|place| {
            let mut route = self.route(&place.path);
            route.hosts =
                hosts(&place.hosts).with_context(|| format!("service `{}`", self.name()))?;
            route.strip_prefix = place.strip_prefix;
            Ok(route)
        });
        places.collect()
    }

    fn route(&self, pattern: &str) -> Route {
        let handler = match &self.runner {
            Runner::Component(component) => component.clone() as Arc<dyn Handler>,
            Runner::Module(module) => module.clone(),
        };
        let mut route = Route::new(pattern, self.name().clone(), handler);
        route.timeout = self.timeout;
        route.limits = self.route_limits.clone();
        route.service_limits = Some(self.service_limits.clone());
        route
    }
}

/// The hosts that a route holds for.
pub(crate) fn hosts(hosts: &[String]) -> Result<Vec<VirtualHost>> {
    hosts_of(hosts).map_err(|(_, error)| error)
}

/// Likewise; an error is told with which of them it is about.
pub(crate) fn hosts_of(hosts: &[String]) -> Result<Vec<VirtualHost>, (usize, anyhow::Error)> {
    let hosts = hosts.iter().enumerate().map(|(at, host)| {
        let parsed = host.parse().context("in `hosts`");
        parsed.map_err(|error| (at, error))
    });
    hosts.collect()
}
