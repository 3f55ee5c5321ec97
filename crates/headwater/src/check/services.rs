use anyhow::Result;
use headwater_runtime::{CompiledOutput, Engine};

use super::report::{Listener, Report};
use super::scratch;
use crate::banner;
use crate::build::running_service::{called, fronts, router};
use crate::build::services::load;
use crate::cli::Serve;
use crate::convert;
use crate::convert::listening;
use crate::convert::operation::Operation;
use crate::diagnostics::{Diagnostic, Kind, Position};
use crate::spec::from_serve::of_content;
use crate::spec::host_spec::HostSpec;

/// Adds to the report what `headwater serve` would serve, and all errors. Returns an error if
/// nothing can be checked on this machine.
pub(super) fn fill(
    report: &mut Report,
    arguments: &Serve,
    content: Vec<u8>,
    output: Option<CompiledOutput>,
) -> Result<Option<Engine>> {
    let Some(spec) = of_content(arguments, content, &mut report.found) else {
        return Ok(None);
    };
    let HostSpec {
        services,
        builtins,
        routing,
        host,
        locations,
        ..
    } = spec;
    let flags = &arguments.operation;
    let operation = Operation::new(flags, &host, &locations, &mut report.found);
    let listening = listening::params(
        &arguments.listen,
        &host,
        &operation.admin,
        &locations,
        &mut report.found,
    );
    if output.is_none() {
        operation.check_compiled(&locations, &mut report.found);
    }
    report.operation(&operation);
    let cache = convert::host::code_cache(&operation.server).unwrap_or_default();
    let loading = scratch(&operation, cache, output)?;
    report.services = load(services, &loading, &mut report.found);
    let setting = |error| Diagnostic::of(Kind::Setting, Position::file(&arguments.file), &error);
    let found = &mut report.found;
    // Middlewares that are missing, and conflicts of routes, are reported already, with their places.
    if found.errors.is_empty()
        && let Some(fronts) = found.keep(fronts(&report.services, &loading.common).map_err(setting))
    {
        let names = called(&report.services).map(|service| &**service.name());
        let connected = loading.common.internal.connect(names.zip(&fronts));
        found.keep(connected.map_err(|error| setting(error.into())));
    }
    if found.errors.is_empty() {
        let router = router(&report.services, &builtins, &[], routing);
        found.keep(router.map_err(setting));
    }
    found.warnings.extend(listening.warnings);
    report.compiled(&loading.engine);
    report.listeners = listening.listeners.iter().map(Listener::of).collect();
    if report.found.errors.is_empty() {
        report.lines = banner::lines(&report.services, &builtins);
    }
    report.builtins = builtins;
    Ok(Some(loading.engine))
}
