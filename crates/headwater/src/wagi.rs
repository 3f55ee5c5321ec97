//! `headwater wagi`: what the `wagi` command did.

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

/// `headwater wagi`.
pub(crate) fn run(arguments: Wagi) -> Result<()> {
    serve(move || prepare(arguments))
}

fn prepare(arguments: Wagi) -> Result<Hosting> {
    let path = modules_toml(&arguments.source)?;
    // Before anything is started: what is wrong with it is said at once.
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
    // Modules are fetched when the log is there that tells of it.
    let loader = Loader::new(ModulesSource {
        path,
        arguments,
        ignored,
    });
    Ok(Hosting {
        // Modules were given what clients and proxies said, and may read it; the front believes none
        // of it but of proxies that it was told of.
        host: Host::builder()
            .source(loader)
            .listener(listener)
            .code_cache(cache)
            .rewrite_forwarded(false),
        // As WAGI said it.
        announcement: "Ready: serving on",
        operation,
    })
}

/// The modules.toml that is to be served.
fn modules_toml(source: &SourceArgs) -> Result<PathBuf> {
    let given = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    if given(&source.bindle) {
        let advice = "Bindle is not supported (the project has ended): fetch the bindle's parcels once, \
             and name them in a modules.toml that is given by -c";
        return Err(Usage(format!("-b/--bindle: {advice}")).into());
    }
    let Some(path) = source
        .config
        .clone()
        .filter(|path| !path.as_os_str().is_empty())
    else {
        return Err(Usage("write -c MODULES_TOML".to_owned()).into());
    };
    // WAGI ignored them beside -c; as variables they may be left from another time.
    if source.bindle_path.is_some() || source.bindle_insecure {
        return Err(Usage(
            "--bindle-path and --bindle-insecure are for -b, and have no effect: leave them out"
                .to_owned(),
        )
        .into());
    }
    Ok(path)
}

/// The certificate of the command line.
pub(crate) fn tls(arguments: &Wagi) -> Result<Option<TlsParams>> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    let params = TlsParams::from_pem_files(certificate, key);
    params
        .map(Some)
        .context("cannot serve https (--tls-cert, --tls-key)")
}

/// Where compiled code is kept, as a cache.toml says, and what in it has no effect. It need not be there unless
/// it is named.
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
        remedy: Some("`enabled` and `directory` are read".to_owned()),
    });
    Ok((cache, ignored.collect()))
}
