//! Loads a host from a source of specifications, at the start and for each reload.

use std::sync::Once;

use anyhow::{Context, Result};
use parking_lot::Mutex;

use crate::banner;
use crate::build::running_service::{fronts, router};
use crate::build::services;
use crate::convert::connecting::note_unused_environment;
use crate::diagnostics::{Diagnostic, Diagnostics, WarningLog};
use crate::reload::{BuildContext, BuiltHost};
use crate::spec::host_spec::{HostSettings, HostSpec, Routing, SpecSource};
use crate::spec::needs_restart::differing;
use crate::spec::prepared::PreparedService;

/// Builds the host from the current specification.
pub(crate) struct Loader {
    source: Box<dyn SpecSource>,
    /// The specification that was read before the start, with its warnings.
    first: Mutex<Option<(HostSpec, Vec<Diagnostic>)>>,
    /// The host's settings at the start, which are in force.
    in_force: HostSettings,
    warning_log: WarningLog,
    /// Logs a proxy in the environment once.
    proxy_noted: Once,
}

// === impl Loader ===

impl Loader {
    /// Makes a loader that has not read anything yet.
    pub(crate) fn new(source: impl SpecSource) -> Self {
        Self {
            source: Box::new(source),
            first: Mutex::default(),
            in_force: HostSettings::default(),
            warning_log: WarningLog::default(),
            proxy_noted: Once::new(),
        }
    }

    pub(crate) fn with(source: impl SpecSource, spec: HostSpec, warnings: Vec<Diagnostic>) -> Self {
        Self {
            in_force: spec.host.clone(),
            first: Mutex::new(Some((spec, warnings))),
            ..Self::new(source)
        }
    }

    /// Reads the specification and builds its services, on a thread that may block. Returns an
    /// error if something in it cannot be served.
    pub(crate) fn load(&self, context: &BuildContext) -> Result<BuiltHost> {
        let first = self.first.lock().take();
        let (spec, warnings) = match first {
            Some(read) => read,
            None => {
                let mut found = Diagnostics::default();
                let spec = self.source.read(&mut found);
                found.accept(spec)?
            }
        };
        self.warning_log.note(warnings);
        let HostSpec {
            services,
            builtins,
            routing,
            host,
            ..
        } = spec;
        if !services.iter().any(PreparedService::says_proxy) {
            self.proxy_noted.call_once(note_unused_environment);
        }
        let mut files: Vec<_> = self.source.file().into_iter().collect();
        files.extend(services.iter().flat_map(PreparedService::files));
        // Guests from registries have no file.
        files.retain(|file| file.exists());
        let mut found = Diagnostics::default();
        let services = services::load(services, context, &mut found);
        let (services, _) = found.accept(Some(services))?;
        let router = router(&services, &builtins, &context.common.middlewares, routing);
        let router = match self.source.file() {
            Some(file) => router.with_context(|| format!("cannot serve `{}`", file.display()))?,
            None => router?,
        };
        Ok(BuiltHost {
            internal: match routing {
                Routing::Specific => fronts(&services, &context.common)?,
                Routing::First => Vec::new(),
            },
            banner: match routing {
                Routing::Specific => banner::lines(&services, &builtins),
                Routing::First => banner::modules(&services),
            },
            services,
            router,
            files,
            needs_restart: differing(&self.in_force, &host),
        })
    }
}
