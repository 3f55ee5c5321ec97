//! What `headwater serve` would serve.

use anyhow::Result;
use headwater_runtime::Engine;

use super::report::{Listener, Report};
use crate::banner;
use crate::cli::{self, Serve};
use crate::diagnostics::{Diagnostic, Kind, Place};
use crate::front;
use crate::listening;
use crate::live::Loading;
use crate::operation::Operation;
use crate::roster::Roster;
use crate::services::{self, Common, Plan};

/// Fills in what `headwater serve` would serve, and what is wrong with it.
///
/// # Errors
///
/// When this machine lets nothing be checked.
pub(super) fn fill(report: &mut Report, arguments: &Serve, content: Vec<u8>) -> Result<()> {
    let plan = services::of_content(arguments, content, &mut report.found);
    let variables = plan.as_ref().map(|plan| plan.variables.clone());
    let unknown = cli::unknown_variables("serve", &variables.unwrap_or_default());
    report.found.warnings.extend(unknown);
    let Some(plan) = plan else {
        return Ok(());
    };
    let Plan {
        services,
        builtins,
        host,
        said,
        ..
    } = plan;
    let flags = &arguments.operation;
    let operation = Operation::new(flags, &host, &said, &mut report.found);
    let listening = listening::params(
        &arguments.listen,
        &host,
        &operation.admin,
        &said,
        &mut report.found,
    );
    report.operation(&operation, &said);
    let cache = front::code_cache(&operation.server).unwrap_or_default();
    let loading = Loading {
        engine: Engine::with_cache(front::places(&operation.server), &cache)?,
        authority: "localhost".to_owned(),
        common: Common::default(),
        roster: Roster::default(),
    };
    report.services = services::load(services, &loading, &mut report.found);
    let fronts = services::fronts(&report.services, &loading.common);
    let names = report.services.iter().map(|service| &**service.name());
    let connected = loading.common.internal.connect(names.zip(&fronts));
    let setting = |error| Diagnostic::of(Kind::Setting, Place::file(&arguments.file), &error);
    let found = &mut report.found;
    found.keep(connected.map_err(|error| setting(error.into())));
    // Of routes that do not go together is told with their places.
    if found.errors.is_empty() {
        let router = services::router(&report.services, &builtins);
        found.keep(router.map_err(setting));
    }
    found.warnings.extend(listening.warnings);
    report.compiled(&loading.engine);
    report.listeners = listening.listeners.iter().map(Listener::of).collect();
    if report.found.errors.is_empty() {
        report.lines = banner::lines(&report.services, &builtins);
    }
    report.builtins = builtins;
    Ok(())
}
