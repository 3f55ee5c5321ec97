mod sections;
mod shadow;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use headwater_config::modules::ModuleEntry;
use headwater_runtime::{CompiledOutput, Engine};
use headwater_server::TlsParams;

use self::sections::Sections;
use super::report::{Listener, Report};
use super::scratch;
use crate::build::running_service::RunningService;
use crate::build::services;
use crate::cli;
use crate::cli::wagi::Wagi;
use crate::diagnostics::{Diagnostic, Diagnostics, Position};
use crate::spec::config_location::ConfigLocations;
use crate::spec::modules::{ModuleFlags, health, parse, prepare};
use crate::wagi::CommandSettings;

/// An entry of a file, and its service or the errors.
type Checked<'a> = (
    &'a ModuleEntry,
    Result<Arc<RunningService>, Vec<Diagnostic>>,
);

/// Adds to the report what `headwater wagi` would serve, and all errors. Returns an error if
/// nothing can be checked on this machine.
pub(super) fn fill(
    report: &mut Report,
    arguments: &Wagi,
    content: Vec<u8>,
    output: Option<CompiledOutput>,
) -> Result<Option<Engine>> {
    let path = report.file.clone();
    let found = &mut report.found;
    let unknown = cli::unknown_variables("wagi", &BTreeSet::new());
    found.warnings.extend(unknown);
    let CommandSettings {
        operation,
        listener,
        cache,
    } = CommandSettings::of(arguments, found);
    if let Some(listener) = listener {
        let concerns = listener.tls.as_ref().map(TlsParams::check);
        for concern in concerns.and_then(Result::ok).into_iter().flatten() {
            let place = Position::entry("--tls-cert");
            found.warn(Diagnostic::certificate(place, &concern));
        }
        report.listeners.push(Listener::of(&listener));
    }
    if output.is_none() {
        operation.check_compiled(&ConfigLocations::default(), found);
    }
    report.operation(&operation);
    let found = &mut report.found;
    let flags = ModuleFlags::of(arguments, found);
    let file = parse(&path, content, found);
    let (Some(flags), Some(file)) = (flags, file) else {
        return Ok(None);
    };
    let context = scratch(&operation, cache, output)?;
    let modules = prepare(&path, &file, arguments, &flags);
    let modules = modules.into_iter().map(|module| {
        let mut found = Diagnostics::default();
        let mut loaded = services::load(vec![module?], &context, &mut found);
        loaded.pop().ok_or(found.errors)
    });
    let modules: Vec<Checked<'_>> = file.modules.iter().zip(modules).collect();
    report.compiled(&context.engine);
    let locations = ConfigLocations::new(&path, file.source());
    let mut sections = Sections::of(&modules, &file.unknown, &flags, &locations);
    report.lines = sections.lines();
    report.lists_without_effect = true;
    report.found.errors.append(&mut sections.found.errors);
    report.found.warnings.append(&mut sections.found.warnings);
    report.builtins = vec![health()];
    for (_, module) in modules {
        match module {
            Ok(service) => report.services.push(service),
            Err(errors) => report.found.errors.extend(errors),
        }
    }
    Ok(Some(context.engine))
}
