//! A service as it is said to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_config::settings::ServiceSettings;
use headwater_config::{RouteConfig as Route, SecretSource, Service};
use headwater_egress::GrantSource;
use headwater_runtime::capability::Grants as CapabilityGrants;
use headwater_runtime::{Capabilities, ForbiddenHeaders};
use headwater_server::RouteLimits;

use crate::cli::Serve;
use crate::convert;
use crate::convert::connecting::{self, Connecting};
use crate::convert::outgoing;
use crate::diagnostics::{Diagnostic, Diagnostics, EntryDiagnostics, Position};
use crate::spec::capabilities;
use crate::spec::config_location::{AtKey, ConfigLocations};
use crate::spec::from_file;
use crate::spec::service_spec::{
    Content, Found, Guest, KeptHeaders, ModuleOptions, ServiceSpec, ServiceSummary,
};

/// A service whose settings are known and whose guest is read, but not compiled.
pub(crate) struct PreparedService {
    pub(crate) spec: ServiceSpec,
    /// The guest.
    pub(crate) binary: Vec<u8>,
    pub(crate) parts: Parts,
    pub(crate) routes: Vec<Route>,
    pub(crate) route_limits: RouteLimits,
    /// Where its guest is named.
    pub(crate) place: Position,
    /// Files of its secrets.
    pub(crate) secrets: Vec<PathBuf>,
}

/// What its settings mean, where they may mean nothing.
pub(crate) struct Parts {
    pub(crate) connecting: Connecting,
    pub(crate) outgoing: outgoing::Settings,
    pub(crate) forbidden_headers: ForbiddenHeaders,
    /// Where it is said what it may reach.
    pub(crate) grant_source: GrantSource,
}

/// A guest that was read.
pub(crate) enum Binary {
    Component(Vec<u8>),
    Module(Vec<u8>),
}

// === impl PreparedService ===

impl PreparedService {
    /// One guest for every path, with the grants of the command line.
    pub(crate) fn single(
        arguments: &Serve,
        settings: ServiceSettings,
        binary: Binary,
        capabilities: CapabilityGrants,
        found: &mut Diagnostics,
    ) -> Self {
        let name = arguments
            .file
            .file_stem()
            .map_or_else(|| "service".into(), |stem| stem.to_string_lossy());
        let grants = &arguments.grants;
        let (guest, binary) = binary.into_parts();
        let outline = ServiceSummary {
            name: name.into(),
            file: arguments.file.clone(),
            grants: grants.allow_outgoing.iter().cloned().collect(),
            environment: grants.environment.clone(),
            directories: grants.directories.clone(),
            unverified: grants.danger_no_verify.clone(),
            capabilities,
        };
        let mut spec = ServiceSpec {
            outline: Arc::new(outline),
            guest,
            settings,
            identities: grants.client_cert.clone(),
            headers: KeptHeaders {
                forbidden: grants.forbid_header.clone(),
                allowed: grants.allow_header.clone(),
            },
            module: ModuleOptions::default(),
            found: Found::default(),
        };
        spec.look();
        let headers = spec.headers.meant();
        let headers =
            headers.map_err(|error| Diagnostic::usage(format!("--allow-header: {error}")));
        let forbidden_headers = found.keep(headers).unwrap_or_default();
        let differ = spec.directories_differ();
        let differ = differ.map_err(|wrong| Diagnostic::usage(format!("--dir: {}", wrong.error)));
        found.keep(differ);
        let idle = spec.idle_fits();
        found.keep(idle.map_err(|error| Diagnostic::usage(error.to_string())));
        let nowhere = ConfigLocations::default();
        let mut found = found.entry(&nowhere, "", "", 0);
        Self {
            parts: Parts::of(&spec, forbidden_headers, GrantSource::Flag, &mut found),
            spec,
            binary,
            routes: vec![Route::path("/...")],
            route_limits: RouteLimits::default(),
            place: Position::default(),
            secrets: Vec::new(),
        }
    }

    /// A service of a file, with what holds for all. `None` without a guest that could be read.
    pub(crate) fn of(
        service: &Service,
        defaults: &ServiceSettings,
        source: &Path,
        capabilities: &Capabilities,
        found: &mut EntryDiagnostics<'_>,
    ) -> Option<Self> {
        let guest = found.keep(from_file::read(service));
        let grants = from_file::grants(service, found);
        let environment = from_file::environment(service, found);
        let directories = from_file::directories(service, found);
        let unverified = from_file::unverified(service, found);
        let identities = from_file::identities(service, found);
        let folder = source.parent().unwrap_or(Path::new(""));
        let capabilities = capabilities::of_service(service, folder, capabilities, found);
        let headers = KeptHeaders {
            forbidden: from_file::header_names("forbid_headers", &service.forbid_headers, found),
            allowed: from_file::header_names("allow_headers", &service.allow_headers, found),
        };
        let (file, binary) = guest?;
        let (guest, binary) = binary.into_parts();
        let outline = ServiceSummary {
            name: service.name.as_str().into(),
            file,
            grants,
            environment,
            directories,
            unverified,
            capabilities,
        };
        let mut spec = ServiceSpec {
            outline: Arc::new(outline),
            guest,
            settings: service.settings.clone().or_defaults(defaults.clone()),
            identities,
            headers,
            module: from_file::module(service),
            found: Found::default(),
        };
        spec.look();
        let forbidden_headers = found.keep(spec.headers.meant().at("allow_headers"));
        found.keep(spec.directories_differ());
        // Of the two the one that the service says itself, if it says one.
        let key = match service.settings.pool.min_idle {
            Some(_) => "min_idle",
            None => "max_instances",
        };
        if !found.lacks("max_instances") {
            found.keep(spec.idle_fits().at(key));
        }
        Some(Self {
            parts: Parts::of(
                &spec,
                forbidden_headers.unwrap_or_default(),
                GrantSource::File(source.into()),
                found,
            ),
            spec,
            binary,
            routes: service.route.all(),
            route_limits: RouteLimits {
                max_in_flight: service.max_in_flight.map(|count| count.get()),
                rate: service.rate.map(convert::host::rate),
                max_body: service.max_body.map(|size| size.bytes()),
            },
            place: found.place(match service.guest() {
                headwater_config::Guest::Component(_) => "component",
                headwater_config::Guest::Module(_) => "module",
            }),
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
        std::iter::once(&self.spec.outline.file)
            .chain(&self.secrets)
            .chain(self.spec.tls_files())
            .cloned()
            .chain(self.spec.outline.capabilities.files())
    }

    /// Whether anybody says how it reaches upstreams.
    pub(crate) fn says_proxy(&self) -> bool {
        self.spec.settings.connecting.proxy.is_some()
    }
}

// === impl Parts ===

impl Parts {
    /// Where the settings mean nothing, the defaults.
    pub(crate) fn of(
        spec: &ServiceSpec,
        forbidden_headers: ForbiddenHeaders,
        grant_source: GrantSource,
        found: &mut EntryDiagnostics<'_>,
    ) -> Self {
        let (connecting, identities) = (&spec.settings.connecting, &spec.identities);
        let mut are_good = true;
        // One by one first, for which of them it is.
        for (at, ca) in connecting.ca.iter().flatten().enumerate() {
            let checked = connecting::check_authority(ca).at(format!("ca.{at}"));
            are_good &= found.keep(checked).is_some();
        }
        for (at, identity) in identities.iter().enumerate() {
            let checked =
                connecting::check_identity(identity).at(format!("client_certificates.{at}"));
            are_good &= found.keep(checked).is_some();
        }
        let checked = are_good.then(|| {
            let unverified = spec.outline.unverified.clone();
            Connecting::of(connecting, identities.clone(), unverified).at("proxy")
        });
        let outgoing = outgoing::Settings::of(&spec.settings.outgoing).at("outgoing.h2c");
        Self {
            connecting: checked
                .and_then(|connecting| found.keep(connecting))
                .unwrap_or_default(),
            outgoing: found.keep(outgoing).unwrap_or_default(),
            forbidden_headers,
            grant_source,
        }
    }
}

// === impl Binary ===

impl Binary {
    pub(crate) fn into_parts(self) -> (Guest, Vec<u8>) {
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
