use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use headwater_config::RouteConfig;
use headwater_config::settings::ServiceSettings;
use headwater_egress::GrantSource;
use headwater_runtime::capability::{Capability, Grant};
use headwater_runtime::{Artifact, ArtifactError, Capabilities, Directory, Role};

use super::BuildError;
use crate::diagnostics::Diagnostics;
use crate::spec::chain::{ChainPlace, LinkSettings};
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::{HostSpec, SpecSource};
use crate::spec::prepared::{Binary, PreparedService};
use crate::spec::service_spec::{ServiceSpec, ServiceSummary};

/// A component or a WAGI module with its grants. It is granted only what is named here.
#[derive(Clone)]
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
    chain: ChainPlace,
}

/// The services of a program, and the host interfaces that they may be granted.
pub(super) struct Services {
    pub(super) services: Vec<Service>,
    pub(super) capabilities: Capabilities,
}

// === impl Service ===

impl Service {
    /// Makes a service from a file: a component or a core module, in binary or text.
    ///
    /// # Errors
    ///
    /// Returns an error if the file cannot be read, or is neither.
    pub fn file(name: impl Into<String>, file: impl AsRef<Path>) -> Result<Self, BuildError> {
        let file = file.as_ref();
        Self::of(name.into(), file.to_owned(), Artifact::read(file))
    }

    /// Makes a service from a guest in memory.
    ///
    /// # Errors
    ///
    /// Returns an error if it is neither a component nor a core module.
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
            chain: ChainPlace::default(),
        })
    }

    /// Adds a path that the service answers: `/x`, or `/x/...` for it and all below. Default: every
    /// path. May be called several times.
    #[must_use]
    pub fn route(mut self, path: impl Into<String>) -> Self {
        self.routes.push(RouteConfig::path(path));
        self
    }

    /// Lets the guest send requests to a destination: `https://api.example.com`, `*.example.com:443`.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a destination.
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

    /// Lets the guest use a directory of the host, under its own name.
    #[must_use]
    pub fn directory(mut self, host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        let (host, guest) = (host.into(), guest.into());
        let read_only = false;
        self.directories.push(Directory {
            host,
            guest,
            read_only,
        });
        self
    }

    /// Grants a host interface, in place of the default grant of the host's [`Capabilities`].
    #[must_use]
    pub fn grant<C: Capability>(mut self, capability: C, grant: C::Grant) -> Self {
        self.capabilities.push(Grant::new(capability, grant));
        self
    }

    /// Adds a middleware in front of the service, behind those that were added before: the name of one of
    /// [`HostBuilder::middleware`](super::HostBuilder::middleware), or of a service that
    /// [is a middleware](Self::as_middleware). Does nothing for a middleware, which has none in front.
    #[must_use]
    pub fn middleware(mut self, name: impl Into<String>) -> Self {
        if let ChainPlace::Service(names) = &mut self.chain {
            names.push(name.into());
        }
        self
    }

    /// Makes the component a middleware for services that [name](Self::middleware) it. It has no routes.
    #[must_use]
    pub fn as_middleware(mut self) -> Self {
        self.chain = ChainPlace::Middleware(LinkSettings::default());
        self
    }

    /// Sets limits, pool and outgoing connections, like the keys of a `[[service]]`.
    #[must_use]
    pub fn settings(mut self, settings: ServiceSettings) -> Self {
        self.settings = settings;
        self
    }

    fn prepare(&self, capabilities: &Capabilities, found: &mut Diagnostics) -> PreparedService {
        let mut granted = capabilities.nothing();
        let own = self.capabilities.iter().cloned();
        own.for_each(|grant| granted.set(grant));
        let outline = ServiceSummary {
            grants: self.outgoing.iter().cloned().collect(),
            environment: self.environment.clone(),
            directories: self.directories.clone(),
            ..ServiceSummary::new(self.name.as_str(), self.file.clone(), granted)
        };
        let (guest, binary) = self.binary.clone().into_parts();
        let spec = ServiceSpec {
            settings: self.settings.clone(),
            ..ServiceSpec::new(outline, guest)
        };
        let is_middleware = matches!(self.chain, ChainPlace::Middleware(_));
        let spec = ServiceSpec {
            role: match is_middleware {
                true => Role::Middleware,
                false => Role::Service,
            },
            ..spec
        };
        let routes = match (is_middleware, self.routes.is_empty()) {
            (true, _) => Vec::new(),
            (false, true) => vec![RouteConfig::path("/...")],
            (false, false) => self.routes.clone(),
        };
        let nowhere = ConfigLocations::default();
        let what = format!("service `{}`", self.name);
        let mut found = found.entry(&nowhere, &what, "service", 0);
        let mut prepared =
            PreparedService::new(spec, binary, routes, GrantSource::Flag, &mut found);
        prepared.chain = self.chain.clone();
        prepared
    }
}

headwater_core::debug_fields!(Service { name });

// === impl Services ===

impl SpecSource for Services {
    fn read(&self, found: &mut Diagnostics) -> Option<HostSpec> {
        let services = self.services.iter();
        let services = services.map(|service| service.prepare(&self.capabilities, found));
        Some(HostSpec::of(services.collect()))
    }

    fn file(&self) -> Option<PathBuf> {
        None
    }
}
