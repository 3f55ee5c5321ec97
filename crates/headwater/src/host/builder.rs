use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::available_parallelism;

use anyhow::Context;
use bytes::Bytes;
use headwater_chain::{FailMode, Middleware, NextService};
use headwater_config::settings::ServerSettings;
use headwater_core::{Body, BodyError};
use headwater_runtime::capability::Capability;
use headwater_runtime::{Capabilities, CodeCache, CodePlaces, Engine, ServingThreads};
use headwater_server::{
    BoundAddress, Endpoint, ForwardedParams, FrontParams, ListenerParams, Server, ServerParams,
};
use headwater_telemetry::{AccessLog, Metrics};
use http::{Request, Response};
use tower_layer::Layer;

use super::loader::Loader;
use super::service::{Service, Services};
use super::{BuildError, Host};
use crate::build::services::SharedResources;
use crate::convert;
use crate::metrics;
use crate::reload::{BuildContext, RunningHost};
use crate::service_registry::ServiceRegistry;

/// Builds a [`Host`].
pub struct HostBuilder {
    services: Services,
    /// A loader to use instead of `services`.
    source: Option<Loader>,
    listeners: Vec<ListenerParams>,
    settings: ServerSettings,
    metrics: Metrics,
    access_log: AccessLog,
    code_cache: CodeCache,
    rewrite_forwarded: bool,
    keep_requests: bool,
    middlewares: Vec<Middleware>,
}

/// A host that listens but has no services yet: connections wait.
pub(crate) struct BoundHost {
    pub(crate) server: Option<Server>,
    serving: Option<ServingThreads>,
    builder: HostBuilder,
}

// === impl HostBuilder ===

impl HostBuilder {
    pub(super) fn new() -> Self {
        Self {
            services: Services {
                services: Vec::new(),
                capabilities: headwater_capabilities::all(),
            },
            source: None,
            listeners: Vec::new(),
            settings: ServerSettings::default(),
            metrics: Metrics::default(),
            access_log: AccessLog::default(),
            code_cache: CodeCache::Off,
            rewrite_forwarded: true,
            keep_requests: false,
            middlewares: Vec::new(),
        }
    }

    /// Adds a service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.services.push(service);
        self
    }

    /// Adds a middleware of the program: a `tower` layer around what is behind it, for services that
    /// [name](Service::middleware) it. A name that several middlewares have is that of the first.
    ///
    /// It is a link like a component that is a middleware: it has a span and a place in the chain, and its errors
    /// are answered 500 and logged with its name. A layer that returns the error of the service that it wraps is not
    /// blamed for it.
    #[must_use]
    pub fn middleware<L, B>(mut self, name: impl Into<Arc<str>>, layer: L) -> Self
    where
        L: Layer<NextService>,
        L::Service: tower_service::Service<Request<Body>, Response = Response<B>>,
        L::Service: Clone + Send + 'static,
        <L::Service as tower_service::Service<Request<Body>>>::Error: Into<BodyError>,
        <L::Service as tower_service::Service<Request<Body>>>::Future: Send,
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        self.middlewares.push(Middleware {
            name: name.into(),
            handler: headwater_chain::native(layer),
            timeout: None,
            fail: FailMode::Closed,
        });
        self
    }

    /// Sets the host interfaces. Default: those of Headwater.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.services.capabilities = capabilities;
        self
    }

    /// Adds a host interface, which the guests of all services may import.
    #[must_use]
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.services.capabilities = self.services.capabilities.with(capability);
        self
    }

    /// Listens at a TCP address; port 0 takes a free one. Default: no listener.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        self.listener(ListenerParams::at(Endpoint::Tcp(address)))
    }

    /// Adds a listener: with TLS, on a Unix-domain socket, or behind a proxy.
    #[must_use]
    pub fn listener(mut self, listener: ListenerParams) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Sets connections, limits and timeouts of all services, like the keys of `[server]`.
    #[must_use]
    pub fn settings(mut self, settings: ServerSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the meter for requests, instances and outgoing requests. Default: nothing is measured.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Sets the access log for finished requests. Default: none.
    #[must_use]
    pub fn access_log(mut self, access_log: AccessLog) -> Self {
        self.access_log = access_log;
        self
    }

    /// Sets the place for compiled code, unless the settings do. Default: none.
    #[must_use]
    pub fn code_cache(mut self, code_cache: CodeCache) -> Self {
        self.code_cache = code_cache;
        self
    }

    /// Sets a source of services that a reload reads again.
    pub(crate) fn source(mut self, source: Loader) -> Self {
        self.source = Some(source);
        self
    }

    /// Sets whether the front replaces the fields about clients that guests see. Default: true.
    pub(crate) const fn rewrite_forwarded(mut self, rewrite: bool) -> Self {
        self.rewrite_forwarded = rewrite;
        self
    }

    /// Sets whether the requests in flight can be listed, and what modules were given for the last ones.
    /// Default: false.
    pub(crate) const fn keep_requests(mut self, keep: bool) -> Self {
        self.keep_requests = keep;
        self
    }

    pub(crate) fn listeners(mut self, listeners: Vec<ListenerParams>) -> Self {
        self.listeners.extend(listeners);
        self
    }

    /// Binds the addresses, and compiles and links the services.
    ///
    /// # Errors
    ///
    /// Returns an error if an address cannot be bound, or a service cannot be loaded. It names all
    /// services that cannot.
    pub async fn build(self) -> Result<Host, BuildError> {
        Ok(self.bind().await?.load().await?)
    }

    pub(crate) async fn bind(mut self) -> anyhow::Result<BoundHost> {
        let listeners = std::mem::take(&mut self.listeners);
        let (server, serving) = match listeners.is_empty() {
            true => (None, None),
            false => {
                let count = available_parallelism().map_or(1, usize::from);
                let serving = ServingThreads::start(count)
                    .context("cannot start the threads that serve requests")?;
                let server = Server::bind(ServerParams {
                    listeners,
                    limits: convert::host::connections(&self.settings),
                    connection: convert::host::connection(&self.settings),
                    drain: convert::host::drain(&self.settings),
                    runtimes: serving.runtimes(),
                });
                (Some(server.await?), Some(serving))
            }
        };
        if let Some(server) = &server {
            let meter = self.metrics.meter();
            metrics::observe_connections(&meter, &server.connections());
            metrics::observe_certificates(&meter, &server.certificates());
        }
        Ok(BoundHost {
            server,
            serving,
            builder: self,
        })
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("services", &self.services.services)
            .finish_non_exhaustive()
    }
}

// === impl BoundHost ===

impl BoundHost {
    /// Compiles and links the services.
    pub(crate) async fn load(self) -> anyhow::Result<Host> {
        let Self {
            server,
            serving,
            builder,
        } = self;
        let HostBuilder {
            services,
            source,
            listeners: _,
            settings,
            metrics,
            access_log: access,
            code_cache,
            rewrite_forwarded,
            keep_requests,
            middlewares,
        } = builder;
        let loader = source.unwrap_or_else(|| Loader::new(services));
        let cache = convert::host::code_cache(&settings).unwrap_or(code_cache);
        let code = CodePlaces {
            compiled: convert::host::compiled(&settings)?,
            cache,
        };
        let loops = convert::host::loops(&settings)?;
        let explain = settings.explain.unwrap_or_default();
        let addresses = server.as_ref().map_or(&[][..], Server::addresses);
        let authority = addresses.iter().find_map(BoundAddress::socket_addr);
        let engine = Engine::with_code(convert::host::places(&settings), code)?;
        if let Some(serving) = &serving {
            engine.threads().run_on(serving);
        }
        let context = BuildContext {
            engine,
            // Clients of a Unix-domain socket may name any host.
            authority: authority.map_or_else(|| "localhost".to_owned(), |it| it.to_string()),
            common: SharedResources {
                metrics: metrics.clone(),
                access: access.clone(),
                shared: convert::host::shared(&settings),
                loops: loops.clone(),
                explain,
                keep_snapshots: keep_requests,
                middlewares: middlewares.into(),
                ..SharedResources::default()
            },
            registry: ServiceRegistry::default(),
            lazily: true,
        };
        let front = FrontParams {
            metrics: metrics.clone(),
            access,
            loops,
            limits: convert::host::requests(&settings),
            forwarded: ForwardedParams {
                rewrite: rewrite_forwarded,
                ..convert::host::forwarded(&settings)
            },
            linger: convert::host::linger(&settings),
            keep_requests,
            explain,
        };
        let certificates = server.as_ref().map(Server::certificates);
        let certificates = certificates.unwrap_or_default();
        let drain = convert::host::drain(&settings);
        let (running, banner) =
            RunningHost::start(loader, context, front, certificates, drain.timeout).await?;
        let meter = metrics.meter();
        metrics::observe_pools(&meter, running.registry());
        metrics::observe_services(&meter, running.registry());
        metrics::observe_outgoing(&meter, running.registry());
        metrics::observe_reloads(&meter, running.reloads());
        Ok(Host {
            server,
            serving,
            running,
            drain,
            banner,
        })
    }
}
