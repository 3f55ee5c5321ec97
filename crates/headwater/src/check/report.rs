use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use headwater_core::{Printable, explain};
use headwater_runtime::Engine;
use headwater_server::ListenerParams;

use crate::banner;
use crate::build::running_service::RunningService;
use crate::convert;
use crate::convert::operation::Operation;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind};
use crate::exit;
use crate::spec::builtins::Builtin;

pub(crate) struct Report {
    pub(crate) file: PathBuf,
    pub(crate) found: Diagnostics,
    /// Services that can be served.
    pub(crate) services: Vec<Arc<RunningService>>,
    pub(crate) builtins: Vec<Builtin>,
    pub(crate) listeners: Vec<Listener>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) probes: Option<SocketAddr>,
    /// The text about the file, for people.
    pub(crate) lines: Vec<String>,
    /// True if `lines` list the keys of the file that have no effect.
    pub(crate) lists_without_effect: bool,
}

/// An address that would be listened on.
pub(crate) struct Listener {
    pub(crate) address: String,
    pub(crate) tls: bool,
}

// === impl Report ===

impl Report {
    pub(crate) fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            found: Diagnostics::default(),
            services: Vec::new(),
            builtins: Vec::new(),
            listeners: Vec::new(),
            admin: None,
            probes: None,
            lines: Vec::new(),
            lists_without_effect: false,
        }
    }

    /// Checks the settings for operating the host, except its listeners.
    pub(crate) fn operation(&mut self, operation: &Operation) {
        self.admin = operation.admin.listen;
        self.probes = operation.admin.probes;
        match operation.telemetry() {
            Ok(telemetry) => {
                let log = telemetry.log.check().map_err(anyhow::Error::from);
                self.operates("--log, or RUST_LOG", log);
                let exporters = telemetry
                    .check_exporters()
                    .map_err(|error| Diagnostic::unplaced(Kind::Usage, &error.into()));
                self.found.keep(exporters);
            }
            Err(error) => self.found.error(Diagnostic::unplaced(Kind::Usage, &error)),
        }
        self.operates(
            "--host-id, or HEADWATER_HOST_ID",
            convert::host::host_id(&operation.server),
        );
    }

    /// Adds warnings about compiled code that could not be kept, once all guests are compiled.
    pub(crate) fn compiled(&mut self, engine: &Engine) {
        for warning in engine.compiler().warnings() {
            self.found.warn(Diagnostic::code_cache(warning));
        }
    }

    /// Reports an error about a flag or variable, unless the file causes it: then it is reported
    /// with its place.
    fn operates(&mut self, flag: &str, result: Result<()>) {
        let Err(error) = result else {
            return;
        };
        let message = explain(error.as_ref());
        let is_told = self.found.errors.iter().any(|it| it.message == message);
        if !is_told {
            let message = format!("{flag}: {message}");
            self.found.error(Diagnostic::usage(message));
        }
    }

    pub(super) fn text(&self) -> String {
        let mut lines = self.lines.clone();
        if self.found.errors.is_empty() {
            let warnings = self.found.warnings.iter().filter(|warning| {
                let of_file = warning.kind == Kind::NoEffect && warning.place.file.is_some();
                !(of_file && self.lists_without_effect)
            });
            lines.extend(warnings.map(|warning| format!("WARNING: {warning}")));
            let listeners: Vec<_> = self.listeners.iter().map(|it| &it.address).collect();
            lines.push(format!("Would listen on {}", banner::list(&listeners)));
        }
        // Routes of a guest and names of services may have control characters.
        let lines = lines.iter().map(|line| Printable(line.as_bytes()));
        lines.map(|line| format!("{line}\n")).collect()
    }

    pub(super) fn exit_code(self) -> ExitCode {
        match self.found.accept(Some(())) {
            Ok(_) => ExitCode::SUCCESS,
            Err(refused) => exit::code(&refused.into()),
        }
    }
}

// === impl Listener ===

impl Listener {
    pub(crate) fn of(params: &ListenerParams) -> Self {
        Self {
            address: params.endpoint.to_string(),
            tls: params.tls.is_some(),
        }
    }
}
