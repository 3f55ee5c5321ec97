//! `headwater check`: all that serving would do with a file, but for serving it.

use std::ffi::OsStr;
use std::path::Path;

use anyhow::{Context, Result};
use headwater_config::modules::ModulesFile;
use headwater_runtime::Engine;

use crate::banner;
use crate::cli::wagi::Check;
use crate::cli::{self, Command, Serve};
use crate::exit::Usage;
use crate::front;
use crate::listening;
use crate::live::Loading;
use crate::operation::Operation;
use crate::outputs;
use crate::roster::Roster;
use crate::services::{self, Common, Plan};
use crate::wagi;

/// Tells what a file serves.
///
/// # Errors
///
/// When it could not be served as it is.
pub(crate) fn run(arguments: Check) -> Result<()> {
    let path = &arguments.file;
    let text = std::fs::read(path).with_context(|| {
        format!(
            "cannot read `{}`: check the path and its permissions",
            path.display()
        )
    })?;
    let is_modules = std::str::from_utf8(&text).is_ok_and(ModulesFile::recognises);
    if is_modules {
        return wagi::check::run(arguments);
    }
    served(path)
}

/// As `headwater serve FILE` would, with no other flag.
fn served(path: &Path) -> Result<()> {
    let arguments = serve(path)?;
    let Plan {
        services,
        builtins,
        host,
        said,
    } = services::plan(&arguments)?;
    let operation = Operation::new(&arguments.operation, &host);
    let listening = listening::params(&arguments.listen, &host, operation.admin, &said)?;
    outputs::check(&operation.outputs(), &said)?;
    let log = operation.telemetry()?.log.check();
    log.map_err(|error| Usage(format!("--log, or RUST_LOG: {error}")))?;
    front::loops(&operation.server)?;
    let loading = Loading {
        engine: Engine::with_cache(
            front::places(&operation.server),
            &front::code_cache(&operation.server).unwrap_or_default(),
        )?,
        authority: "localhost".to_owned(),
        common: Common::default(),
        roster: Roster::default(),
    };
    let services = services::load(services, &loading)?;
    services::router(&services, &builtins)
        .with_context(|| format!("cannot serve `{}`", path.display()))?;
    let fronts = services::fronts(&services, &loading.common);
    let names = services.iter().map(|service| &**service.name());
    loading.common.internal.connect(names.zip(&fronts))?;
    let mut lines = banner::lines(&services, &builtins);
    let concerns = listening.concerns.iter();
    lines.extend(concerns.map(|concern| format!("WARNING: {concern}")));
    let listeners: Vec<_> = listening
        .listeners
        .iter()
        .map(|listener| listener.endpoint.to_string())
        .collect();
    lines.push(format!("Would listen on {}", banner::list(&listeners)));
    banner::print(&lines);
    Ok(())
}

fn serve(path: &Path) -> Result<Serve> {
    let words = [
        OsStr::new("headwater"),
        OsStr::new("serve"),
        OsStr::new("--"),
        path.as_os_str(),
    ];
    // A variable that makes no sense is wrong usage, as it is for serving.
    match cli::parse(words)
        .unwrap_or_else(|error| error.exit())
        .command
    {
        Command::Serve(serve) => Ok(*serve),
        _ => anyhow::bail!("`serve` is no command"),
    }
}
