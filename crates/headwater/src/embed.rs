//! A host in a program of one's own: services, listeners, and a run until a token is cancelled.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use anyhow::{Context, anyhow};
use headwater_config::RouteConfig;
use headwater_config::settings::{ServerSettings, ServiceSettings};
use headwater_egress::GrantSource;
use headwater_runtime::capability::{Capability, Grant};
use headwater_runtime::{
    Artifact, ArtifactError, Capabilities, CodeCache, Directory, ForbiddenHeaders,
};
use headwater_server::{
    BoundAddress, Endpoint, HttpService, ListenerParams, RouteLimits, ServeOutcome, Server,
};
use headwater_telemetry::{AccessLog, Metrics};
use tokio_util::sync::CancellationToken;

use crate::build::running_service::{fronts, router};
use crate::build::services;
use crate::convert;
use crate::diagnostics::{Diagnostics, Position};
use crate::reload::{BuildContext, BuiltHost, Load, RunningHost};
use crate::run::host::{LoadParams, bind, finish_background_work, load_services};
use crate::spec::config_location::ConfigLocations;
use crate::spec::prepared::{Binary, Parts, PreparedService};
use crate::spec::service_spec::{Found, KeptHeaders, ModuleOptions, ServiceSpec, ServiceSummary};

/// Why a host cannot be built. Its text has all reasons, one a line.
#[derive(Debug)]
pub struct BuildError(anyhow::Error);

/// A component or a WAGI module with its grants. It is granted nothing but what is named here.
pub struct Service {
    name: String,
    file: PathBuf,
    binary: Binary,
    routes: Vec<RouteConfig>,
    outgoing: Vec<headwater_egress::Grant>,
    environment: Vec<(String, String)>,
    directories: Vec<Directory>,
    capabilities: Vec<Grant>,
    settings: ServiceSettings,
}

/// What a [`Host`] is made of.
pub struct HostBuilder {
    services: Vec<Service>,
    capabilities: Capabilities,
    listeners: Vec<ListenerParams>,
    settings: ServerSettings,
    metrics: Metrics,
}

/// A host that is ready to serve.
pub struct Host {
    server: Option<Server>,
    running: Arc<RunningHost>,
    settings: ServerSettings,
}

// === impl Service ===

impl Service {
    /// A guest that is read from a file: a component or a core module, in binary or text.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or is neither.
    pub fn file(name: impl Into<String>, file: impl AsRef<Path>) -> Result<Self, BuildError> {
        let file = file.as_ref();
        Self::of(name.into(), file.to_owned(), Artifact::read(file))
    }

    /// A guest that is in memory.
    ///
    /// # Errors
    ///
    /// When it is neither a component nor a core module.
    pub fn bytes(name: impl Into<String>, guest: Vec<u8>) -> Result<Self, BuildError> {
        let name = name.into();
        let file = PathBuf::from(&name);
        Self::of(name, file, Artifact::recognise(guest))
    }

    fn of(
        name: String,
        file: PathBuf,
        artifact: Result<Artifact, ArtifactError>,
    ) -> Result<Self, BuildError> {
        let cannot = || format!("cannot serve `{}`", file.display());
        let binary = match artifact.with_context(cannot)? {
            Artifact::Component(binary) => Binary::Component(binary),
            Artifact::Module(binary) => Binary::Module(binary),
            Artifact::Toml(_) => {
                return Err(anyhow!("it is text, not WebAssembly")
                    .context(cannot())
                    .into());
            }
        };
        Ok(Self {
            name,
            file,
            binary,
            routes: Vec::new(),
            outgoing: Vec::new(),
            environment: Vec::new(),
            directories: Vec::new(),
            capabilities: Vec::new(),
            settings: ServiceSettings::default(),
        })
    }

    /// Answers this path: `/x`, or `/x/...` for it and all below. Default: every path. May be called several
    /// times.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>) -> Self {
        self.routes.push(RouteConfig::path(path));
        self
    }

    /// Lets the guest send requests to a destination: `https://api.example.com`, `*.example.com:443`.
    ///
    /// # Errors
    ///
    /// When it is no destination.
    pub fn allow_outgoing(mut self, destination: &str) -> Result<Self, BuildError> {
        self.outgoing
            .push(destination.parse().map_err(anyhow::Error::from)?);
        Ok(self)
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Lets the guest use a directory of the host, under a name of its own.
    #[must_use]
    pub fn directory(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        let (host, guest) = (host.into(), guest.into());
        self.directories.push(Directory { host, guest });
        self
    }

    /// Grants a host interface, in place of what the host's [`Capabilities`] grant by default.
    #[must_use]
    pub fn grant<C: Capability>(mut self, capability: C, grant: C::Grant) -> Self {
        self.capabilities.push(Grant::new(capability, grant));
        self
    }

    /// Limits, pool and outgoing connections, as the keys of a `[[service]]` set them.
    #[must_use]
    pub fn settings(mut self, settings: ServiceSettings) -> Self {
        self.settings = settings;
        self
    }

    fn prepare(self, capabilities: &Capabilities, found: &mut Diagnostics) -> PreparedService {
        let Self {
            name,
            file,
            binary,
            mut routes,
            outgoing,
            environment,
            directories,
            capabilities: own,
            settings,
        } = self;
        if routes.is_empty() {
            routes.push(RouteConfig::path("/..."));
        }
        let mut capabilities = capabilities.nothing();
        own.into_iter().for_each(|grant| capabilities.set(grant));
        let (guest, binary) = binary.into_parts();
        let mut spec = ServiceSpec {
            outline: Arc::new(ServiceSummary {
                name: name.into(),
                file,
                grants: outgoing.into_iter().collect(),
                environment,
                directories,
                unverified: Vec::new(),
                capabilities,
            }),
            guest,
            settings,
            identities: Vec::new(),
            headers: KeptHeaders::default(),
            module: ModuleOptions::default(),
            found: Found::default(),
        };
        spec.look();
        let locations = ConfigLocations::default();
        let mut found = found.entry(&locations, "", "", 0);
        PreparedService {
            parts: Parts::of(
                &spec,
                ForbiddenHeaders::default(),
                GrantSource::Flag,
                &mut found,
            ),
            spec,
            binary,
            routes,
            route_limits: RouteLimits::default(),
            place: Position::default(),
            secrets: Vec::new(),
        }
    }
}

// === impl HostBuilder ===

impl HostBuilder {
    /// One more service.
    #[must_use]
    pub fn service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Exactly these host interfaces. Default: those that Headwater has.
    #[must_use]
    pub fn capabilities(mut self, capabilities: Capabilities) -> Self {
        self.capabilities = capabilities;
        self
    }

    /// One more host interface, which guests of all services may import.
    #[must_use]
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.capabilities = self.capabilities.with(capability);
        self
    }

    /// Listens at a TCP address; port 0 takes a free one. Default: no listener.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        self.listener(ListenerParams::at(Endpoint::Tcp(address)))
    }

    /// One more listener: with TLS, on a Unix-domain socket, behind a proxy.
    #[must_use]
    pub fn listener(mut self, listener: ListenerParams) -> Self {
        self.listeners.push(listener);
        self
    }

    /// Connections, limits and timeouts of all services, as the keys of `[server]` set them.
    #[must_use]
    pub fn settings(mut self, settings: ServerSettings) -> Self {
        self.settings = settings;
        self
    }

    /// What is measured with. Default: nothing is.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = metrics;
        self
    }

    /// Takes the addresses, and compiles and links the services.
    ///
    /// # Errors
    ///
    /// When an address cannot be had, or a service cannot be loaded. All services that cannot are named.
    pub async fn build(self) -> Result<Host, BuildError> {
        let Self {
            services,
            capabilities,
            listeners,
            settings,
            metrics,
        } = self;
        let mut found = Diagnostics::default();
        let prepared = services.into_iter();
        let prepared: Vec<_> = prepared
            .map(|it| it.prepare(&capabilities, &mut found))
            .collect();
        found.accept(Some(())).map_err(refused)?;
        let server = match listeners.is_empty() {
            true => None,
            false => Some(bind(listeners, &settings).await?),
        };
        let params = LoadParams {
            cache: convert::host::code_cache(&settings).unwrap_or(CodeCache::Off),
            rewrite_forwarded: true,
            settings: settings.clone(),
            metrics,
            access: AccessLog::default(),
            keep_requests: false,
        };
        let (running, _) = load_services(once(prepared), server.as_ref(), params).await?;
        Ok(Host {
            server,
            running,
            settings,
        })
    }
}

/// Loads these services, and nothing a second time.
fn once(prepared: Vec<PreparedService>) -> Load {
    let prepared = Mutex::new(Some(prepared));
    Box::new(move |context: &BuildContext| {
        let prepared = prepared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let prepared = prepared.context("this host cannot be loaded again")?;
        let mut found = Diagnostics::default();
        let services = services::load(prepared, context, &mut found);
        found.accept(Some(())).map_err(refused)?;
        Ok(BuiltHost {
            router: router(&services, &[])?,
            internal: fronts(&services, &context.common),
            services,
            banner: Vec::new(),
            files: Vec::new(),
            needs_restart: Vec::new(),
        })
    })
}

fn refused(refused: crate::diagnostics::Refused) -> anyhow::Error {
    let errors = refused.0.errors.iter().map(ToString::to_string);
    anyhow!(errors.collect::<Vec<_>>().join("\n"))
}

// === impl Host ===

impl Host {
    /// A host without services and listeners.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder {
            services: Vec::new(),
            capabilities: headwater_capabilities::all(),
            listeners: Vec::new(),
            settings: ServerSettings::default(),
            metrics: Metrics::default(),
        }
    }

    /// Where it listens, with the ports that were taken.
    #[must_use]
    pub fn addresses(&self) -> &[BoundAddress] {
        self.server.as_ref().map_or(&[], Server::addresses)
    }

    /// Its services for a server that is not Headwater's.
    #[must_use]
    pub fn http_service(&self) -> HttpService {
        HttpService::new(Arc::clone(self.running.front()))
    }

    /// Serves until the token is cancelled. Then takes no more connections, lets the requests in flight finish
    /// within the drain timeout of the settings, and waits as long for what guests do after their responses.
    pub async fn run(self, shutdown: CancellationToken) -> ServeOutcome {
        let Self {
            server,
            running,
            settings,
        } = self;
        let outcome = match server {
            Some(server) => {
                let front = Arc::clone(running.front());
                server.serve(front, shutdown).await
            }
            None => {
                shutdown.cancelled().await;
                running.front().idle().await;
                ServeOutcome::Drained
            }
        };
        let drain = convert::host::drain(&settings);
        finish_background_work(&running, Instant::now() + drain.timeout).await;
        outcome
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses().iter().map(ToString::to_string);
        f.debug_struct("Host")
            .field("addresses", &addresses.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostBuilder")
            .field("services", &self.services)
            .finish_non_exhaustive()
    }
}

// === impl BuildError ===

impl From<anyhow::Error> for BuildError {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&headwater_core::explain(self.0.as_ref()))
    }
}

impl std::error::Error for BuildError {}
