//! The place of a guest in chains.

use std::time::Duration;

use headwater_chain::FailMode;
use headwater_config::{Fail, MiddlewareEntry, Time};

/// The place of a guest in chains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ChainPlace {
    /// A service, behind the middlewares of these names. The first is the outermost.
    Service(Vec<String>),
    Middleware(LinkSettings),
}

/// The settings of a middleware that are not part of its specification: they can change while it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LinkSettings {
    pub(crate) fail: FailMode,
    /// The time until its response head. `None`: that of the service behind it.
    pub(crate) timeout: Option<Duration>,
}

// === impl ChainPlace ===

impl Default for ChainPlace {
    fn default() -> Self {
        Self::Service(Vec::new())
    }
}

// === impl LinkSettings ===

impl LinkSettings {
    pub(crate) fn of(entry: &MiddlewareEntry) -> Self {
        Self {
            fail: match entry.fail {
                Fail::Closed => FailMode::Closed,
                Fail::Open => FailMode::Open,
            },
            // That of `[defaults]` is meant for services, which may take longer.
            timeout: entry.settings.limits.timeout.map(Time::get),
        }
    }
}
