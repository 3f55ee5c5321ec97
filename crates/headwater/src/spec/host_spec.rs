//! What is to be served, wherever it is said.

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

/// Where it is said what is to be served: at the start, and anew at each reload.
pub(crate) trait SpecSource: Send + Sync + 'static {
    /// Reads it as it is now, where a thread may be held up. `None` if it cannot be read; `found` has the
    /// reason. What is wrong with one service leaves the others in the specification.
    fn read(&self, found: &mut Diagnostics) -> Option<HostSpec>;

    /// The file that it is read from, if it is one.
    fn file(&self) -> Option<PathBuf>;
}

/// What is to be served.
#[derive(Default)]
pub(crate) struct HostSpec {
    pub(crate) services: Vec<PreparedService>,
    pub(crate) builtins: Vec<Builtin>,
    pub(crate) routing: Routing,
    /// What the file says of the host itself.
    pub(crate) host: HostSettings,
    /// Where the file says it.
    pub(crate) locations: ConfigLocations,
    /// Environment variables that the file reads secrets from.
    pub(crate) variables: BTreeSet<String>,
}

/// Which of several routes answers a request that they all match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Routing {
    /// The most specific one. Services reach each other by their names.
    #[default]
    Specific,
    /// The first, as in a modules.toml. Modules do not reach each other.
    First,
}

/// What the file says of the host itself: its sections.
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
    /// These services, and nothing else is said.
    pub(crate) fn of(services: Vec<PreparedService>) -> Self {
        Self {
            services,
            ..Self::default()
        }
    }
}
