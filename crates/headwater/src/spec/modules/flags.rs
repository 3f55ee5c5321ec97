//! Settings of the command line of `headwater wagi` for all modules.

use std::collections::BTreeMap;

use anyhow::Result;
use headwater_config::settings::ServiceSettings;

use super::variables;
use crate::cli::wagi::{OutgoingArgs, Wagi};
use crate::convert::connecting::Connecting;
use crate::convert::outgoing;
use crate::exit::Usage;

/// Settings of the command line for all modules.
pub(crate) struct ModuleFlags {
    /// These take precedence over those of the file, as WAGI's help says.
    pub(crate) environment: BTreeMap<String, String>,
    pub(super) settings: ServiceSettings,
}

// === impl ModuleFlags ===

impl ModuleFlags {
    /// Reads the files of variables, and checks the settings of outgoing requests.
    pub(crate) fn of(arguments: &Wagi) -> Result<Self> {
        let OutgoingArgs {
            connecting,
            trace_headers,
            requests,
        } = &arguments.outgoing;
        let usage = |error: anyhow::Error| Usage(format!("on the command line, {error:#}"));
        outgoing::Settings::of(requests).map_err(usage)?;
        Connecting::of(connecting, Vec::new(), Vec::new()).map_err(usage)?;
        Ok(Self {
            environment: variables::given(&arguments.modules)?,
            settings: ServiceSettings {
                limits: arguments.limits.clone(),
                connecting: connecting.clone(),
                trace_headers: trace_headers.clone(),
                outgoing: requests.clone(),
                ..ServiceSettings::default()
            },
        })
    }
}
