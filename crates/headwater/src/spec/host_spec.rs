//! The specification of what to serve, from any source.

use std::collections::BTreeSet;
use std::path::PathBuf;

use headwater_config::settings::{
    AccessLogSettings, AdminSettings, ListenerSettings, ReloadSettings, ServerSettings,
    TelemetrySettings,
};

use crate::diagnostics::Diagnostics;
use crate::spec::builtins::Builtin;
use crate::spec::config_location::ConfigLocations;
use crate::spec::prepared::PreparedService;

/// A source of specifications: read at the start, and again at each reload.
pub(crate) trait SpecSource: Send + Sync + 'static {
    /// Reads the current specification, on a thread that may block. Returns `None` if it cannot be
    /// read; `found` has the reason. An error in one service leaves the others in the
    /// specification.
    fn read(&self, found: &mut Diagnostics) -> Option<HostSpec>;

    /// Returns the file that it is read from, if there is one.
    fn file(&self) -> Option<PathBuf>;
}

#[derive(Default)]
pub(crate) struct HostSpec {
    /// The middlewares, and the services.
    pub(crate) services: Vec<PreparedService>,
    pub(crate) builtins: Vec<Builtin>,
    pub(crate) routing: Routing,
    pub(crate) host: HostSettings,
    pub(crate) locations: ConfigLocations,
    /// Environment variables that the file reads secrets from.
    pub(crate) variables: BTreeSet<String>,
}

/// The rule for a request that several routes match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Routing {
    /// The most specific route answers. Services reach each other by their names.
    #[default]
    Specific,
    /// The first route answers, as in a modules.toml. Modules do not reach each other.
    First,
}

/// The sections of the file about the host itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HostSettings {
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) server: ServerSettings,
    pub(crate) admin: Option<AdminSettings>,
    pub(crate) access_log: Option<AccessLogSettings>,
    pub(crate) reload: ReloadSettings,
    pub(crate) telemetry: TelemetrySettings,
}

// === impl HostSpec ===

impl HostSpec {
    /// Makes a specification of these services, with no other settings.
    pub(crate) fn of(services: Vec<PreparedService>) -> Self {
        Self {
            services,
            ..Self::default()
        }
    }
}
