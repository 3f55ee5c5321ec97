//! `headwater wagi`, the successor of the `wagi` command.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use headwater_config::CacheFile;
use headwater_runtime::CodeCache;
use headwater_server::{ListenerParams, TlsParams};

use crate::Host;
use crate::cli::wagi::{SourceArgs, Wagi};
use crate::convert;
use crate::convert::operation::Operation;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::exit::Usage;
use crate::host::loader::Loader;
use crate::input;
use crate::run::process::{Hosting, serve};
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::HostSettings;
use crate::spec::modules::{ModuleFlags, ModulesSource, parse};

pub(crate) fn run(arguments: Wagi) -> Result<()> {
    serve(move || prepare(arguments))
}

fn prepare(arguments: Wagi) -> Result<Hosting> {
    let path = modules_toml(&arguments.source)?;
    // Check before anything starts, so that errors are reported at once.
    let mut found = Diagnostics::default();
    let content = found.keep(input::read(&path));
    let file = content.and_then(|content| parse(&path, content, &mut found));
    found.accept(file)?;
    ModuleFlags::of(&arguments)?;
    let mut listener = ListenerParams::at(arguments.listen);
    listener.tls = tls(&arguments)?;
    let (cache, ignored) = code_cache(arguments.cache.as_deref())?;
    let (flags, nothing) = (&arguments.operation, HostSettings::default());
    let mut found = Diagnostics::default();
    let operation = Operation::new(flags, &nothing, &ConfigLocations::default(), &mut found);
    let (operation, _no_warnings) = found.accept(Some(operation))?;
    let cache = convert::host::code_cache(&operation.server).unwrap_or(cache);
    // Modules are fetched later, when there is a log for its messages.
    let loader = Loader::new(ModulesSource {
        path,
        arguments,
        ignored,
    });
    Ok(Hosting {
        // WAGI passed on what clients and proxies said, and modules may read it. The front trusts
        // only the proxies that it was configured with.
        host: Host::builder()
            .source(loader)
            .listener(listener)
            .code_cache(cache)
            .rewrite_forwarded(false),
        // WAGI's own words.
        announcement: "Ready: serving on",
        operation,
    })
}

/// Returns the path of the modules.toml to serve.
fn modules_toml(source: &SourceArgs) -> Result<PathBuf> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if given(&source.bindle) {
        let advice = "Bindle is not supported (the project has ended): fetch the bindle's parcels once, \
             and name them in a modules.toml that is given with -c";
        return Err(Usage(format!("-b/--bindle: {advice}")).into());
    }
    let Some(path) = source
        .config
        .clone()
        .filter(|path| !path.as_os_str().is_empty())
    else {
        return Err(Usage("write -c MODULES_TOML".to_owned()).into());
    };
    // WAGI ignored these beside -c. As variables they may be left over.
    if source.bindle_path.is_some() || source.bindle_insecure {
        return Err(Usage(
            "--bindle-path and --bindle-insecure are for -b, and have no effect: leave them out"
                .to_owned(),
        )
        .into());
    }
    Ok(path)
}

pub(crate) fn tls(arguments: &Wagi) -> Result<Option<TlsParams>> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    let params = TlsParams::from_pem_files(certificate, key);
    params
        .map(Some)
        .context("cannot serve https (--tls-cert, --tls-key)")
}

/// Returns the place of compiled code that a cache.toml names, and a warning for each key without
/// effect. The file may be missing unless it is named.
pub(crate) fn code_cache(named: Option<&Path>) -> Result<(CodeCache, Vec<Diagnostic>)> {
    let path = named.unwrap_or(Path::new("cache.toml"));
    if named.is_none() && !path.is_file() {
        return Ok(<_>::default());
    }
    let name = path.display();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{name}` (--cache)"))?;
    let file = match CacheFile::parse(&text) {
        Ok(file) => file,
        Err(error) => bail!("cannot use `{name}` (--cache): {error}"),
    };
    let cache = match (file.enabled, file.directory) {
        (false, _) => CodeCache::Off,
        (true, None) => CodeCache::Default,
        (true, Some(folder)) => CodeCache::Directory(
            std::path::absolute(&folder)
                .with_context(|| format!("in `{name}`: the folder {}", folder.display()))?,
        ),
    };
    let ignored = file.ignored.iter().map(|key| Diagnostic {
        kind: Kind::NoEffect,
        place: Position::file(path).into(),
        message: format!("`{key}` has no effect"),
        remedy: Some("only `enabled` and `directory` are read".to_owned()),
    });
    Ok((cache, ignored.collect()))
}
