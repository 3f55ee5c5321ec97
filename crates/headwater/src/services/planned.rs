//! A service as it is said to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use headwater_config::settings::ServiceSettings;
use headwater_config::{Place, SecretSource, Service};
use headwater_runtime::ForbiddenHeaders;
use headwater_server::RouteLimits;

use super::made_of::{Content, Found, Guest, KeptHeaders, MadeOf, ModuleOptions, Outline};
use super::named;
use crate::cli::Serve;
use crate::connecting::{self, Connecting};
use crate::exit::Usage;
use crate::front;
use crate::outgoing;
use crate::said::{AtKey, Misplaced};

/// A service whose settings are known and whose guest is read, but not compiled.
pub(crate) struct Planned {
    pub(super) made_of: MadeOf,
    /// The guest.
    pub(super) binary: Vec<u8>,
    pub(super) parts: Parts,
    pub(super) routes: Vec<Place>,
    pub(super) route_limits: RouteLimits,
    /// Where the file names its guest.
    pub(super) said: Option<String>,
    /// Files of its secrets.
    secrets: Vec<PathBuf>,
}

/// What its settings mean, where they may mean nothing.
pub(super) struct Parts {
    pub(super) connecting: Connecting,
    pub(super) outgoing: outgoing::Settings,
    pub(super) forbidden_headers: ForbiddenHeaders,
}

/// A guest that was read.
pub(super) enum Binary {
    Component(Vec<u8>),
    Module(Vec<u8>),
}

// === impl Planned ===

impl Planned {
    /// One guest for every path, with the grants of the command line.
    pub(super) fn single(arguments: &Serve, binary: Binary) -> Result<Self> {
        let name = arguments
            .file
            .file_stem()
            .map_or_else(|| "service".into(), |stem| stem.to_string_lossy());
        let grants = &arguments.grants;
        let (guest, binary) = binary.into_parts();
        let outline = Outline {
            name: name.into(),
            file: arguments.file.clone(),
            grants: grants.allow_outgoing.iter().cloned().collect(),
            environment: grants.environment.clone(),
            directories: grants.directories.clone(),
            unverified: grants.danger_no_verify.clone(),
        };
        let mut made_of = MadeOf {
            outline: Arc::new(outline),
            guest,
            settings: arguments.services.clone(),
            identities: grants.client_cert.clone(),
            headers: KeptHeaders {
                forbidden: grants.forbid_header.clone(),
                allowed: grants.allow_header.clone(),
            },
            module: ModuleOptions::default(),
            found: Found::default(),
        };
        made_of.look();
        let forbidden_headers = made_of
            .headers
            .meant()
            .map_err(|error| Usage(format!("--allow-header: {error}")))?;
        made_of
            .idle_fits()
            .map_err(|error| Usage(error.to_string()))?;
        let parts = Parts::of(&made_of, forbidden_headers);
        Ok(Self {
            parts: parts.map_err(|wrong| wrong.error)?,
            made_of,
            binary,
            routes: vec![Place {
                path: "/...".to_owned(),
                hosts: Vec::new(),
                strip_prefix: false,
            }],
            route_limits: RouteLimits::default(),
            said: None,
            secrets: Vec::new(),
        })
    }

    /// A service of a file, with what holds for all.
    pub(super) fn of(service: &Service, defaults: &ServiceSettings) -> Result<Self, Misplaced> {
        let (file, binary) = named::read(service)?;
        let (guest, binary) = binary.into_parts();
        let outline = Outline {
            name: service.name.as_str().into(),
            file,
            grants: named::grants(service)?,
            environment: named::environment(service)?,
            directories: named::directories(service)?,
            unverified: named::unverified(service)?,
        };
        let mut made_of = MadeOf {
            outline: Arc::new(outline),
            guest,
            settings: service.settings.clone().or_defaults(defaults.clone()),
            identities: named::identities(service)?,
            headers: KeptHeaders {
                forbidden: named::header_names("forbid_headers", &service.forbid_headers)?,
                allowed: named::header_names("allow_headers", &service.allow_headers)?,
            },
            module: named::module(service),
            found: Found::default(),
        };
        made_of.look();
        let forbidden_headers = made_of.headers.meant().at("allow_headers")?;
        // Of the two the one that the service says itself, if it says one.
        let key = match service.settings.pool.min_idle {
            Some(_) => "min_idle",
            None => "max_instances",
        };
        made_of.idle_fits().at(key)?;
        let parts = Parts::of(&made_of, forbidden_headers)?;
        Ok(Self {
            parts,
            made_of,
            binary,
            routes: service.route.all(),
            route_limits: RouteLimits {
                max_in_flight: service.max_in_flight.map(|count| count.get()),
                rate: service.rate.map(front::rate),
                max_body: service.max_body.map(|size| size.bytes()),
            },
            said: None,
            secrets: service
                .secrets
                .values()
                .filter_map(SecretSource::file)
                .map(Path::to_owned)
                .collect(),
        })
    }

    /// What it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        std::iter::once(&self.made_of.outline.file)
            .chain(&self.secrets)
            .chain(self.made_of.tls_files())
            .cloned()
    }

    /// Whether anybody says how it reaches upstreams.
    pub(crate) fn says_proxy(&self) -> bool {
        self.made_of.settings.connecting.proxy.is_some()
    }
}

// === impl Parts ===

impl Parts {
    fn of(made_of: &MadeOf, forbidden_headers: ForbiddenHeaders) -> Result<Self, Misplaced> {
        let (said, identities) = (&made_of.settings.connecting, &made_of.identities);
        // One by one first, for which of them it is.
        for (at, ca) in said.ca.iter().flatten().enumerate() {
            connecting::check_authority(ca).at(format!("ca.{at}"))?;
        }
        for (at, identity) in identities.iter().enumerate() {
            connecting::check_identity(identity).at(format!("client_certificates.{at}"))?;
        }
        let unverified = made_of.outline.unverified.clone();
        Ok(Self {
            connecting: Connecting::of(said, identities.clone(), unverified).at("proxy")?,
            outgoing: outgoing::Settings::of(&made_of.settings.outgoing).at("outgoing.h2c")?,
            forbidden_headers,
        })
    }
}

// === impl Binary ===

impl Binary {
    fn into_parts(self) -> (Guest, Vec<u8>) {
        match self {
            Self::Component(bytes) => (Guest::Component(Content::of(&bytes)), bytes),
            Self::Module(bytes) => (Guest::Module(Content::of(&bytes)), bytes),
        }
    }
}

// === impl KeptHeaders ===

impl KeptHeaders {
    fn meant(&self) -> Result<ForbiddenHeaders, headwater_runtime::NotAllowed> {
        ForbiddenHeaders::with(&self.forbidden, &self.allowed)
    }
}
