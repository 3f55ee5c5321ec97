//! Services that are specified and whose guests are read.

use std::path::PathBuf;

use headwater_config::RouteConfig;
use headwater_egress::GrantSource;
use headwater_runtime::ForbiddenHeaders;
use headwater_server::RouteLimits;

use crate::convert::connecting::{self, Connecting};
use crate::convert::outgoing;
use crate::diagnostics::{EntryDiagnostics, Position};
use crate::spec::chain::ChainPlace;
use crate::spec::config_location::AtKey;
use crate::spec::service_spec::{Content, Guest, KeptHeaders, ServiceSpec};

/// A service whose settings are known and whose guest is read, but not compiled.
pub(crate) struct PreparedService {
    pub(crate) spec: ServiceSpec,
    pub(crate) binary: Vec<u8>,
    /// True if the binary can be read from the guest's file again.
    pub(crate) is_in_file: bool,
    pub(crate) parts: Parts,
    pub(crate) routes: Vec<RouteConfig>,
    pub(crate) route_limits: RouteLimits,
    pub(crate) chain: ChainPlace,
    /// The place in the file that names the guest.
    pub(crate) place: Position,
    /// The files of its secrets.
    pub(crate) secrets: Vec<PathBuf>,
}

/// The parameters that the settings are converted to.
pub(crate) struct Parts {
    pub(crate) connecting: Connecting,
    pub(crate) outgoing: outgoing::Settings,
    pub(crate) forbidden_headers: ForbiddenHeaders,
    /// The place of the settings that grant destinations.
    pub(crate) grant_source: GrantSource,
}

/// The place from which the binary of a guest is read when the guest is loaded.
pub(crate) enum BinarySource {
    File(PathBuf),
    Memory(Vec<u8>),
}

/// A guest that has been read.
#[derive(Clone)]
pub(crate) enum Binary {
    Component(Vec<u8>),
    Module(Vec<u8>),
}

// === impl PreparedService ===

impl PreparedService {
    /// Checks the settings of a service. Reports wrong settings and uses the default in their
    /// place.
    pub(crate) fn new(
        mut spec: ServiceSpec,
        binary: Vec<u8>,
        routes: Vec<RouteConfig>,
        grant_source: GrantSource,
        found: &mut EntryDiagnostics<'_>,
    ) -> Self {
        spec.look();
        let KeptHeaders { forbidden, allowed } = &spec.headers;
        let headers = ForbiddenHeaders::with(forbidden, allowed).at("allow_headers");
        let forbidden_headers = found.keep(headers).unwrap_or_default();
        found.keep(spec.directories_differ());
        // Blame the one that the service sets itself, if it sets one.
        let key = match found.says("min_idle") {
            true => "min_idle",
            false => "max_instances",
        };
        if !found.lacks("max_instances") {
            found.keep(spec.idle_fits().at(key));
        }
        Self {
            parts: Parts::of(&spec, forbidden_headers, grant_source, found),
            spec,
            binary,
            is_in_file: false,
            routes,
            route_limits: RouteLimits::default(),
            chain: ChainPlace::default(),
            place: Position::default(),
            secrets: Vec::new(),
        }
    }

    /// Returns the files that the service depends on.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        std::iter::once(&self.spec.outline.file)
            .chain(&self.secrets)
            .chain(self.spec.tls_files())
            .cloned()
            .chain(self.spec.outline.capabilities.files())
    }

    pub(crate) fn says_proxy(&self) -> bool {
        self.spec.settings.connecting.proxy.is_some()
    }
}

// === impl Parts ===

impl Parts {
    fn of(
        spec: &ServiceSpec,
        forbidden_headers: ForbiddenHeaders,
        grant_source: GrantSource,
        found: &mut EntryDiagnostics<'_>,
    ) -> Self {
        let (connecting, identities) = (&spec.settings.connecting, &spec.identities);
        let mut are_good = true;
        // Check each by itself first, to know which one an error is about.
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
