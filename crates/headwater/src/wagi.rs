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
use crate::run::process::{Hosting, serve};
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::{HostSettings, SpecSource};
use crate::spec::modules::ModulesSource;

/// The settings of the command line, as far as they can be used.
pub(crate) struct CommandSettings {
    pub(crate) operation: Operation,
    pub(crate) listener: Option<ListenerParams>,
    pub(crate) cache: CodeCache,
}

// === impl CommandSettings ===

impl CommandSettings {
    /// Reports errors, and settings that have no effect.
    pub(crate) fn of(arguments: &Wagi, found: &mut Diagnostics) -> Self {
        let (flags, nothing) = (&arguments.operation, HostSettings::default());
        let operation = Operation::new(flags, &nothing, &ConfigLocations::default(), found);
        let tls = tls(arguments).map_err(|error| Diagnostic::unplaced(Kind::Listener, &error));
        let listener = found.keep(tls).map(|tls| ListenerParams {
            tls,
            ..ListenerParams::at(arguments.listen)
        });
        let cache = code_cache(arguments.cache.as_deref());
        let cache = cache.map_err(|error| Diagnostic::unplaced(Kind::File, &error));
        let (cache, ignored) = found.keep(cache).unwrap_or_default();
        found.warnings.extend(ignored);
        Self {
            cache: convert::host::code_cache(&operation.server).unwrap_or(cache),
            operation,
            listener,
        }
    }
}

pub(crate) fn run(arguments: Wagi) -> Result<()> {
    serve(move || prepare(arguments))
}

fn prepare(arguments: Wagi) -> Result<Hosting> {
    let path = modules_toml(&arguments.source)?;
    // Check before anything starts, so that errors are reported at once.
    let mut found = Diagnostics::default();
    let CommandSettings {
        operation,
        listener,
        cache,
    } = CommandSettings::of(&arguments, &mut found);
    operation.check_compiled(&ConfigLocations::default(), &mut found);
    let source = ModulesSource {
        path,
        arguments,
        warnings: std::mem::take(&mut found.warnings),
    };
    // Modules are fetched later, when there is a log for its messages, unless there are errors:
    // those of modules are reported with them.
    if !found.errors.is_empty() || !source.is_sound() {
        source.read(&mut found);
    }
    let (listener, _) = found.accept(listener)?;
    Ok(Hosting {
        // WAGI passed on what clients and proxies said, and modules may read it. The front trusts
        // only the proxies that it was configured with.
        host: Host::builder()
            .source(Loader::new(source))
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

fn tls(arguments: &Wagi) -> Result<Option<TlsParams>> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    let params = TlsParams::from_pem_files(certificate, key);
    params
        .map(Some)
        .context("cannot serve https (--tls-cert, or WAGI_TLS_CERT; --tls-key, or WAGI_TLS_KEY)")
}

/// Returns the place of compiled code that a cache.toml names, and a warning for each key without
/// effect. The file may be missing unless it is named.
fn code_cache(named: Option<&Path>) -> Result<(CodeCache, Vec<Diagnostic>)> {
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
    let ignored = file.ignored.iter().map(|key| {
        let message = format!("`{key}` has no effect");
        Diagnostic::new(Kind::NoEffect, Position::file(path), message)
            .with_remedy("only `enabled` and `directory` are read")
    });
    Ok((cache, ignored.collect()))
}
