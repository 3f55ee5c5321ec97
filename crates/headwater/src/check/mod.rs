//! `headwater check`: everything that serving a file does, except serving it.

mod json;
#[cfg(feature = "wagi")]
mod modules;
mod report;
mod services;

use std::process::ExitCode;

use anyhow::{Result, bail};
use headwater_config::modules::ModulesFile;
use headwater_runtime::{CodeCache, CodePlaces, CompiledOutput, Engine};

use crate::banner;
use crate::build::services::SharedResources;
use crate::cli::{Check, Command, Format, Served, Target};
use crate::convert;
use crate::convert::operation::Operation;
use crate::input;
use crate::reload::BuildContext;
use crate::service_registry::ServiceRegistry;

pub(crate) use self::report::Report;

/// Prints what a file serves, and all errors in it. Returns an error if the file cannot be served,
/// unless the output says so.
pub(crate) fn run(arguments: &Check) -> Result<ExitCode> {
    let mut report = Report::new(&arguments.served.file);
    fill(&mut report, &arguments.served, None)?;
    report.found.sort();
    match arguments.format {
        Format::Json => {
            banner::print_whole(&format!("{:#}\n", json::document(&report)))?;
            Ok(report.exit_code())
        }
        Format::Text => {
            banner::print_whole(&report.text())?;
            report.found.accept(Some(()))?;
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Adds to the report what would be served, and all errors. The code of guests is taken as for
/// serving them, or else written to `output`. Returns the engine on which they were compiled, or
/// `None` if the file could not be read. Returns an error if nothing can be checked on this machine.
pub(crate) fn fill(
    report: &mut Report,
    arguments: &Served,
    output: Option<CompiledOutput>,
) -> Result<Option<Engine>> {
    let Some(content) = report.found.keep(input::read(&arguments.file)) else {
        return Ok(None);
    };
    let is_modules = std::str::from_utf8(&content).is_ok_and(ModulesFile::recognises);
    let target = match is_modules {
        true => Target::Wagi,
        false => Target::Serve,
    };
    match arguments.as_command(target, &mut report.found) {
        Some(Command::Serve(serve)) => services::fill(report, &serve, content, output),
        #[cfg(feature = "wagi")]
        Some(Command::Wagi(wagi)) => modules::fill(report, &wagi, content, output),
        Some(_) => bail!("`headwater {}` serves nothing", target.as_str()),
        None => Ok(None),
    }
}

/// Makes the context in which guests are compiled and linked for the check.
fn scratch(
    operation: &Operation,
    cache: CodeCache,
    output: Option<CompiledOutput>,
) -> Result<BuildContext> {
    let places = convert::host::places(&operation.server);
    let engine = match output {
        Some(output) => Engine::with_output(places, output)?,
        None => {
            // An error is reported already.
            let compiled = convert::host::compiled(&operation.server);
            let compiled = compiled.unwrap_or_default();
            Engine::with_code(places, CodePlaces { compiled, cache })?
        }
    };
    Ok(BuildContext {
        engine,
        authority: "localhost".to_owned(),
        common: SharedResources::default(),
        registry: ServiceRegistry::default(),
        // Errors in any guest are to be found.
        lazily: false,
    })
}
