use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_chain::{Chain, FailMode, Middleware, Target};
use headwater_config::RouteConfig;
use headwater_config::settings::LoadTime;
use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use headwater_egress::Egress;
use headwater_runtime::capability::{Explained, Grant};
use headwater_runtime::{ComponentService, OutgoingHttp};
use headwater_server::{InternalFront, Route, RouteLimits, Router, ServiceLimits, VirtualHost};
use http::Request;

use crate::build::lazy_guest::{LazyGuest, LoadState};
#[cfg(feature = "wagi")]
use crate::build::module::MountedModule;
use crate::build::services::SharedResources;
use crate::spec::builtins::{Builtin, BuiltinRoute};
use crate::spec::chain::ChainPlace;
use crate::spec::host_spec::Routing;
use crate::spec::service_spec::{ServiceSpec, ServiceSummary};

/// A service, or a middleware in front of services.
pub(crate) struct RunningService {
    pub(crate) outline: Arc<ServiceSummary>,
    /// The specification, to find out whether the service has changed.
    pub(crate) spec: Arc<ServiceSpec>,
    pub(crate) runner: Runner,
    pub(crate) egress: Egress,
    pub(crate) routes: Vec<RouteConfig>,
    pub(crate) timeout: Duration,
    pub(crate) route_limits: RouteLimits,
    pub(crate) service_limits: ServiceLimits,
    pub(crate) chain: ChainPlace,
}

/// The handler of a service. Cheap to clone.
#[derive(Clone)]
pub(crate) enum Runner {
    Component(Arc<ComponentService>),
    #[cfg(feature = "wagi")]
    Module(Arc<MountedModule>),
    /// A guest that is loaded at its first request.
    Lazy(LazyGuest),
}

pub(crate) fn router(
    services: &[Arc<RunningService>],
    builtins: &[Builtin],
    native: &[Middleware],
    routing: Routing,
) -> Result<Router> {
    let middlewares = Middlewares { services, native };
    let mut routes = Vec::new();
    for BuiltinRoute { route, middleware } in builtins.iter().flat_map(|it| &it.routes) {
        let mut route = route.clone();
        route.handler = middlewares.in_front_of(&route, middleware)?;
        routes.push(route);
    }
    for service in services {
        routes.extend(service.all_routes(&middlewares)?);
    }
    Ok(match routing {
        Routing::Specific => Router::new(routes)?,
        Routing::First => Router::in_order(routes.into_iter().map(|it| (it.hosts.clone(), it))),
    })
}

/// Returns the fronts through which the services reach each other, behind their middlewares.
pub(crate) fn fronts(
    services: &[Arc<RunningService>],
    common: &SharedResources,
) -> Result<Vec<Arc<InternalFront>>> {
    let native = &*common.middlewares;
    let middlewares = Middlewares { services, native };
    let front = |service: &Arc<RunningService>| {
        let (metrics, loops) = (common.metrics.clone(), common.loops.clone());
        // The pattern has no meaning there.
        let mut route = service.route("/...", service.runner.handler());
        route.handler = middlewares.in_front_of(&route, service.middleware())?;
        let front = InternalFront::new(route, metrics, loops);
        let front = front.with_access(common.access.clone());
        Ok(Arc::new(front.with_explanations(common.explain)))
    };
    called(services).map(front).collect()
}

/// Returns the services that others can call, in the order of their [`fronts`].
pub(crate) fn called(
    services: &[Arc<RunningService>],
) -> impl Iterator<Item = &Arc<RunningService>> {
    services.iter().filter(|service| !service.is_middleware())
}

/// The middlewares among these services, and those of the program.
pub(crate) struct Middlewares<'a> {
    services: &'a [Arc<RunningService>],
    native: &'a [Middleware],
}

// === impl Middlewares ===

impl Middlewares<'_> {
    /// Returns the handler of a route, behind the middlewares of these names.
    fn in_front_of(&self, route: &Route, names: &[String]) -> Result<Arc<dyn Handler>> {
        let handler = Arc::clone(&route.handler);
        if names.is_empty() {
            return Ok(handler);
        }
        let links = names.iter().map(|name| self.find(name));
        let target = Target {
            service: Arc::clone(&route.service),
            handler,
            timeout: route.timeout,
        };
        let chain = Chain::new(links.collect::<Result<_>>()?, target)
            .with_context(|| format!("service `{}`", route.service))?;
        Ok(Arc::new(chain))
    }

    fn find(&self, name: &str) -> Result<Middleware> {
        if let Some(native) = self.native.iter().find(|native| *native.name == *name) {
            return Ok(native.clone());
        }
        let found = self
            .services
            .iter()
            .find_map(|service| match &service.chain {
                ChainPlace::Middleware(link) if **service.name() == *name => Some((service, link)),
                _ => None,
            });
        // The names in a file are checked with their places.
        let (service, link) =
            found.with_context(|| format!("there is no middleware named `{name}`"))?;
        Ok(Middleware {
            name: Arc::clone(service.name()),
            handler: service.runner.handler(),
            timeout: link.timeout,
            fail: link.fail,
        })
    }
}

// === impl RunningService ===

impl RunningService {
    /// Explains the service's grants, including those of host interfaces.
    pub(crate) fn explain(&self) -> Vec<Explained> {
        let outgoing = Grant::new(OutgoingHttp, self.egress.clone().into());
        let mut explained = outgoing.explain();
        explained.extend(self.outline.capabilities.explain());
        explained
    }

    /// Returns the service's grants as JSON, by kind.
    pub(crate) fn grants(&self) -> serde_json::Value {
        let facts = self.explain().into_iter().filter_map(|line| match line {
            Explained::Fact { what, items } => Some((what.replace(' ', "_"), items.into())),
            Explained::Warning(_) => None,
        });
        facts.collect::<serde_json::Map<_, _>>().into()
    }

    /// Returns true if its settings say to load the guest at its first request.
    pub(crate) fn is_lazy(&self) -> bool {
        self.spec.settings.load.load == Some(LoadTime::Lazy)
    }

    pub(crate) fn name(&self) -> &Arc<str> {
        &self.outline.name
    }

    /// Returns true if both run from the same specification, whatever their routes.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.spec, &other.spec)
    }

    /// Returns true if both have the same middlewares in front, on each route, or are the same link.
    pub(crate) fn has_chains_of(&self, other: &Self) -> bool {
        self.chain == other.chain && self.routes_with_chains().eq(other.routes_with_chains())
    }

    /// Returns the routes with middlewares of their own, and these.
    fn routes_with_chains(&self) -> impl Iterator<Item = (&str, &Vec<String>)> {
        let routes = self.routes.iter();
        routes.filter_map(|route| Some((route.path.as_str(), route.middleware.as_ref()?)))
    }

    /// Returns true if it is a middleware, which has no routes.
    pub(crate) fn is_middleware(&self) -> bool {
        matches!(self.chain, ChainPlace::Middleware(_))
    }

    /// Returns the names of the middlewares in front of the service.
    pub(crate) fn middleware(&self) -> &[String] {
        match &self.chain {
            ChainPlace::Service(middleware) => middleware,
            ChainPlace::Middleware(_) => &[],
        }
    }

    /// Returns the word for what happens to requests when it fails, if it is a middleware.
    pub(crate) fn fail(&self) -> Option<&'static str> {
        match &self.chain {
            ChainPlace::Service(_) => None,
            ChainPlace::Middleware(link) => Some(match link.fail {
                FailMode::Closed => "closed",
                FailMode::Open => "open",
            }),
        }
    }

    /// Returns the world of its component.
    pub(crate) fn world(&self) -> Option<String> {
        let component = self.runner.component()?;
        Some(match (component.hooks(), self.is_middleware()) {
            (Some(hooks), _) => format!("{} ({hooks})", component.world()),
            (None, true) => "wasi:http/middleware@0.3".to_owned(),
            (None, false) => component.world().to_string(),
        })
    }

    fn all_routes(&self, middlewares: &Middlewares<'_>) -> Result<Vec<Route>> {
        let places = self.routes.iter().enumerate().map(|(index, place)| {
            let mut route = self.route(&place.path, self.runner.at(index));
            route.hosts =
                hosts(&place.hosts).with_context(|| format!("service `{}`", self.name()))?;
            route.strip_prefix = place.strip_prefix;
            let middleware = place.middleware.as_deref();
            let middleware = middleware.unwrap_or_else(|| self.middleware());
            route.handler = middlewares.in_front_of(&route, middleware)?;
            Ok(route)
        });
        places.collect()
    }

    fn route(&self, pattern: &str, handler: Arc<dyn Handler>) -> Route {
        let mut route = Route::new(pattern, self.name().clone(), handler);
        route.timeout = self.timeout;
        route.limits = self.route_limits.clone();
        route.service_limits = Some(self.service_limits.clone());
        route
    }
}

// === impl Runner ===

impl Runner {
    fn handler(&self) -> Arc<dyn Handler> {
        match self {
            Self::Component(component) => component.clone(),
            #[cfg(feature = "wagi")]
            Self::Module(mounted) => Arc::new(mounted.module.clone()),
            Self::Lazy(lazy) => Arc::new(lazy.clone()),
        }
    }

    pub(crate) fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        match self {
            Self::Component(component) => component.handle(request, scope),
            #[cfg(feature = "wagi")]
            Self::Module(mounted) => mounted.module.handle(request, scope),
            Self::Lazy(lazy) => lazy.handle(request, scope),
        }
    }

    /// Returns the progress of loading the guest.
    pub(crate) fn load_state(&self) -> LoadState {
        match self {
            Self::Lazy(lazy) => lazy.state(),
            _ => LoadState::Loaded,
        }
    }

    /// Returns the handler for the route of this index.
    fn at(&self, index: usize) -> Arc<dyn Handler> {
        #[cfg(feature = "wagi")]
        if let Self::Module(mounted) = self
            && let Some(mount) = mounted.mounts.get(index)
        {
            return mount.handler.clone();
        }
        let _not_asked = index;
        self.handler()
    }

    /// Returns true if a route answers 500 because the module could not name its routes, or the guest could not
    /// be loaded at its first request. The next reload tries it again.
    pub(crate) fn is_broken(&self) -> bool {
        #[cfg(feature = "wagi")]
        if let Self::Module(mounted) = self {
            return mounted.mounts.iter().any(|mount| mount.problem.is_some());
        }
        matches!(self.load_state(), LoadState::Failed(_))
    }

    /// Marks the guest as replaced by another version.
    pub(crate) fn replaced(&self) {
        match self {
            Self::Component(component) => component.replaced(),
            #[cfg(feature = "wagi")]
            Self::Module(_) => {}
            Self::Lazy(lazy) => lazy.replaced(),
        }
    }

    /// Waits until its guest has no work.
    pub(crate) async fn idle(&self) {
        match self {
            Self::Component(component) => component.idle().await,
            #[cfg(feature = "wagi")]
            Self::Module(mounted) => mounted.module.idle().await,
            Self::Lazy(lazy) => lazy.idle().await,
        }
    }

    /// Returns the module, if the guest is one and is loaded.
    #[cfg(feature = "wagi")]
    pub(crate) fn module(&self) -> Option<&headwater_wagi::WagiModule> {
        match self {
            Self::Module(mounted) => Some(&mounted.module),
            Self::Component(_) => None,
            Self::Lazy(lazy) => lazy.loaded()?.module(),
        }
    }

    /// Returns the component, if the guest is one and is loaded.
    pub(crate) fn component(&self) -> Option<&Arc<ComponentService>> {
        match self {
            Self::Component(component) => Some(component),
            #[cfg(feature = "wagi")]
            Self::Module(_) => None,
            Self::Lazy(lazy) => lazy.loaded()?.component(),
        }
    }
}

pub(crate) fn hosts(hosts: &[String]) -> Result<Vec<VirtualHost>> {
    hosts.iter().map(|host| self::host(host)).collect()
}

/// Parses one of a route's hosts.
pub(crate) fn host(host: &str) -> Result<VirtualHost> {
    host.parse().context("in `hosts`")
}
