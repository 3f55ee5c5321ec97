//! Settings of the command line of `headwater wagi` for all modules.

use std::collections::BTreeMap;

use headwater_config::settings::ServiceSettings;

use super::variables;
use crate::cli::wagi::{OutgoingArgs, Wagi};
use crate::diagnostics::{Diagnostic, Diagnostics, Kind};
use crate::spec::from_serve::of_flags;

/// Settings of the command line for all modules.
pub(crate) struct ModuleFlags {
    /// These take precedence over those of the file, as WAGI's help says.
    pub(crate) environment: BTreeMap<String, String>,
    pub(super) settings: ServiceSettings,
}

// === impl ModuleFlags ===

impl ModuleFlags {
    /// Reads the files of variables, and checks the settings of outgoing requests. Reports errors.
    pub(crate) fn of(arguments: &Wagi, found: &mut Diagnostics) -> Option<Self> {
        let OutgoingArgs {
            connecting,
            trace_headers,
            requests,
        } = &arguments.outgoing;
        let settings = ServiceSettings {
            limits: arguments.limits.clone(),
            connecting: connecting.clone(),
            trace_headers: trace_headers.clone(),
            outgoing: requests.clone(),
            ..ServiceSettings::default()
        };
        let settings = of_flags(&settings, found);
        let environment = variables::given(&arguments.modules);
        let environment = environment.map_err(|error| Diagnostic::unplaced(Kind::File, &error));
        Some(Self {
            environment: found.keep(environment)?,
            settings,
        })
    }
}
