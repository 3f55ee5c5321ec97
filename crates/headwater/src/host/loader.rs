//! From where a specification comes to what serves it, at the start and for each reload.

use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};

use crate::banner;
use crate::build::running_service::{fronts, router};
use crate::build::services;
use crate::convert::connecting::note_unused_environment;
use crate::diagnostics::{Diagnostic, Diagnostics, WarningLog};
use crate::reload::{BuildContext, BuiltHost};
use crate::spec::host_spec::{HostSettings, HostSpec, Routing, SpecSource};
use crate::spec::needs_restart::differing;
use crate::spec::prepared::PreparedService;

/// Builds what is served, of its specification as it is now.
pub(crate) struct Loader {
    source: Box<dyn SpecSource>,
    /// What was read before the start.
    first: Mutex<Option<(HostSpec, Vec<Diagnostic>)>>,
    /// What was said of the host itself then, which is in force.
    in_force: HostSettings,
    warning_log: WarningLog,
    /// The log is told of a proxy in the environment.
    proxy_noted: Once,
}

// === impl Loader ===

impl Loader {
    /// Nothing is read yet.
    pub(crate) fn new(source: impl SpecSource) -> Self {
        Self {
            source: Box::new(source),
            first: Mutex::default(),
            in_force: HostSettings::default(),
            warning_log: WarningLog::default(),
            proxy_noted: Once::new(),
        }
    }

    /// This is read already.
    pub(crate) fn with(source: impl SpecSource, spec: HostSpec, warnings: Vec<Diagnostic>) -> Self {
        Self {
            in_force: spec.host.clone(),
            first: Mutex::new(Some((spec, warnings))),
            ..Self::new(source)
        }
    }

    /// Reads the specification, and builds its services, where a thread may be held up.
    ///
    /// # Errors
    ///
    /// When something in it cannot be served.
    pub(crate) fn load(&self, context: &BuildContext) -> Result<BuiltHost> {
        let mut first = self.first.lock().unwrap_or_else(PoisonError::into_inner);
        let (spec, warnings) = match first.take() {
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
        // Guests from registries are in no file.
        files.retain(|file| file.exists());
        let mut found = Diagnostics::default();
        let services = services::load(services, context, &mut found);
        let (services, _) = found.accept(Some(services))?;
        let router = router(&services, &builtins, routing);
        let router = match self.source.file() {
            Some(file) => router.with_context(|| format!("cannot serve `{}`", file.display()))?,
            None => router?,
        };
        Ok(BuiltHost {
            internal: match routing {
                Routing::Specific => fronts(&services, &context.common),
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
