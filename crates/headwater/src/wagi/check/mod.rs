//! What `headwater check` finds in a modules.toml.

mod sections;

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use headwater_runtime::Engine;
use headwater_server::{ListenerParams, Route, TlsParams};
use headwater_wagi::Health;

use sections::Sections;

use super::load::Table;
use super::{code_cache, common, parse};
use crate::check::{Listener, Report};
use crate::cli;
use crate::cli::wagi::Wagi;
use crate::convert;
use crate::convert::operation::Operation;
use crate::diagnostics::{Diagnostic, Kind, Position};
use crate::spec::builtins::Builtin;
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::HostSettings;

/// Fills in what `headwater wagi` would serve, and what is wrong with it.
///
/// # Errors
///
/// When this machine lets nothing be checked.
pub(crate) fn fill(report: &mut Report, arguments: &Wagi, content: Vec<u8>) -> Result<()> {
    let path = report.file.clone();
    let found = &mut report.found;
    found
        .warnings
        .extend(cli::unknown_variables("wagi", &BTreeSet::new()));
    let (flags, nothing) = (&arguments.operation, HostSettings::default());
    let operation = Operation::new(flags, &nothing, &ConfigLocations::default(), found);
    let tls = super::tls(arguments).map_err(|error| Diagnostic::unplaced(Kind::Listener, &error));
    if let Some(tls) = found.keep(tls) {
        let mut listener = ListenerParams::at(arguments.listen);
        listener.tls = tls;
        let concerns = listener.tls.as_ref().map(TlsParams::check);
        for concern in concerns.and_then(Result::ok).into_iter().flatten() {
            let place = Position::entry("--tls-cert");
            found.warn(Diagnostic::certificate(place, &concern));
        }
        report.listeners.push(Listener::of(&listener));
    }
    let cache = code_cache(arguments.cache.as_deref());
    let cache = cache.map_err(|error| Diagnostic::unplaced(Kind::File, &error));
    let cache = found.keep(cache).map(|cache| cache.place);
    let cache = convert::host::code_cache(&operation.server).or(cache);
    report.operation(&operation, &ConfigLocations::default());
    let found = &mut report.found;
    let common = common(arguments).map_err(|error| Diagnostic::unplaced(Kind::Setting, &error));
    let (common, file) = (found.keep(common), parse(&path, content, found));
    let (Some(common), Some(file)) = (common, file) else {
        return Ok(());
    };
    let locations = ConfigLocations::new(&path, file.source());
    let unknown = file.unknown.clone();
    let places = convert::host::places(&operation.server);
    let engine = Engine::with_cache(places, &cache.unwrap_or_default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that run `_routes`")?;
    let table = runtime.block_on(Table::load(&path, file, &common, &engine));
    report.compiled(&engine);
    let mut sections = Sections::of(&table, &unknown, &common, &locations);
    report.lines = sections.lines();
    report.lists_without_effect = true;
    report.found.errors.append(&mut sections.found.errors);
    report.found.warnings.append(&mut sections.found.warnings);
    report.builtins = vec![Builtin {
        does: "answers OK".to_owned(),
        routes: vec![Route::new(Health::ROUTE, "healthz", Arc::new(Health))],
    }];
    for (_, loaded) in table.modules {
        match loaded.map(|loaded| loaded.service()) {
            Ok(service) => {
                let service = service.map_err(|error| Diagnostic::unplaced(Kind::Setting, &error));
                let service = report.found.keep(service);
                report.services.extend(service.map(Arc::new));
            }
            Err(problems) => report.found.errors.extend(problems),
        }
    }
    Ok(())
}
