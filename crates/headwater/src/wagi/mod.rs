//! `headwater wagi`: what the `wagi` command did, and `headwater check`, which tells what it would do.

pub(crate) mod check;
mod common;
mod fetch;
mod load;
mod names;
mod shadow;
mod variables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use anyhow::{Context, Result, bail};
use headwater_config::CacheFile;
use headwater_config::modules::{ModulesFile, UnknownKey};
use headwater_runtime::CodeCache;
use headwater_server::{ListenerParams, Route, Router, TlsParams, VirtualHost};
use headwater_wagi::Health;

use crate::banner::{self, list};
use crate::cli;
use crate::cli::wagi::{SourceArgs, Wagi};
use crate::convert;
use crate::convert::operation::Operation;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position, Refused, WarningLog};
use crate::exit::Usage;
use crate::input;
use crate::reload::{BuildContext, BuiltHost};
use crate::run::host::{Hosting, host};
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::HostSettings;
use crate::spec::internal_grants::idle_grant;

use self::common::ModuleDefaults;
use self::load::{LoadedModule, Table, what};

/// `headwater wagi`.
pub(crate) fn run(arguments: Wagi) -> Result<()> {
    host(move || prepare(arguments))
}

fn prepare(arguments: Wagi) -> Result<Hosting> {
    let path = modules_toml(&arguments.source)?;
    // Before anything is started: what is wrong with it is said at once.
    read(&path)?;
    common(&arguments)?;
    let tls = tls(&arguments)?;
    let variables = cli::unknown_variables("wagi", &BTreeSet::new());
    let cache = code_cache(arguments.cache.as_deref())?;
    let mut listener = ListenerParams::at(arguments.listen);
    listener.tls = tls;
    let (flags, nothing) = (&arguments.operation, HostSettings::default());
    let mut found = Diagnostics::default();
    let operation = Operation::new(flags, &nothing, &ConfigLocations::default(), &mut found);
    let (operation, _no_warnings) = found.accept(Some(operation))?;
    let noted = Once::new();
    let CacheToml { place, ignored } = cache;
    let warning_log = WarningLog::default();
    let load = move |loading: &BuildContext| {
        noted.call_once(|| {
            for key in &ignored {
                tracing::warn!(
                    "in the cache.toml, `{key}` has no effect: `enabled` and `directory` are read"
                );
            }
        });
        let (file, mut warnings) = read(&path)?;
        warnings.extend(variables.iter().cloned());
        warning_log.note(warnings);
        let mut common = common(&arguments)?;
        common.metrics = loading.common.metrics.clone();
        common.loops = loading.common.loops.clone();
        common.shared = loading.common.shared.clone();
        common.tls_roots = loading.common.tls_roots.clone();
        let mut found = Diagnostics::default();
        let table = tokio::runtime::Handle::current()
            .block_on(Table::load(&path, file, &common, &loading.engine))
            .into_loaded(&mut found);
        let (table, _) = found.accept(Some(table))?;
        let services = table.iter().map(|module| module.service().map(Arc::new));
        let modules = table.iter().map(|module| PathBuf::from(&module.origin));
        let files = modules.filter(|module| module.is_file());
        Ok(BuiltHost {
            services: services.collect::<Result<_>>()?,
            internal: Vec::new(),
            banner: lines(&table),
            router: router(&table),
            files: [path.clone()].into_iter().chain(files).collect(),
            // A modules.toml says nothing of the host.
            needs_restart: Vec::new(),
        })
    };
    Ok(Hosting {
        listeners: vec![listener],
        cache: convert::host::code_cache(&operation.server).unwrap_or(place),
        // Modules were given what clients and proxies said, and may read it; the front believes none
        // of it but of proxies that it was told of.
        rewrite_forwarded: false,
        // As WAGI said it.
        announcement: "Ready: serving on",
        operation,
        load: Box::new(load),
    })
}

/// What the command line says of all modules.
fn common(arguments: &Wagi) -> Result<ModuleDefaults> {
    ModuleDefaults::new(
        &arguments.modules,
        &arguments.limits,
        &arguments.outgoing,
        arguments.log_dir.clone(),
    )
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
fn tls(arguments: &Wagi) -> Result<Option<TlsParams>> {
    let (Some(certificate), Some(key)) = (&arguments.tls_cert, &arguments.tls_key) else {
        return Ok(None);
    };
    let params = TlsParams::from_pem_files(certificate, key);
    params
        .map(Some)
        .context("cannot serve https (--tls-cert, --tls-key)")
}

/// Reads a modules.toml, with what is probably not meant in it.
fn read(path: &Path) -> Result<(ModulesFile, Vec<Diagnostic>), Refused> {
    let mut found = Diagnostics::default();
    let file = found.keep(input::read(path));
    let file = file.and_then(|content| parse(path, content, &mut found));
    found.accept(file)
}

/// Understands a modules.toml as far as it can be.
fn parse(path: &Path, content: Vec<u8>, found: &mut Diagnostics) -> Option<ModulesFile> {
    let text = String::from_utf8(content).map_err(|error| Diagnostic {
        kind: Kind::File,
        place: Position::file(path).into(),
        message: format!("it is no text ({error}): a modules.toml is expected"),
        remedy: None,
    });
    let (file, errors) = ModulesFile::read(&found.keep(text)?);
    for error in errors {
        found.error(Diagnostic::modules(path, error));
    }
    let file = file?;
    let locations = ConfigLocations::new(path, file.source());
    for warning in file.warnings() {
        found.warn(Diagnostic::warning(path, warning));
    }
    for unknown in &file.unknown {
        let UnknownKey {
            location,
            key,
            meaning,
        } = unknown;
        found.warn(Diagnostic {
            kind: Kind::NoEffect,
            place: Position::located(path, location.clone()).into(),
            message: format!("`{key}` has no effect"),
            remedy: Some(meaning.clone()),
        });
    }
    for (index, entry) in file.modules.iter().enumerate() {
        for (at, host) in entry.allowed_hosts.iter().enumerate() {
            // Modules have no such names for each other.
            let grant = host.parse().ok();
            let key = format!("allowed_hosts.{at}");
            let place = locations.entry(&what(entry), "module", index, &key);
            let warning = grant.and_then(|grant| idle_grant(&grant, &[], place));
            found.warnings.extend(warning);
        }
    }
    Some(file)
}

/// What a cache.toml says.
#[derive(Default)]
struct CacheToml {
    place: CodeCache,
    ignored: Vec<String>,
}

/// Where compiled code is kept: as a cache.toml says, which need not be there unless it is named.
fn code_cache(named: Option<&Path>) -> Result<CacheToml> {
    let path = named.unwrap_or(Path::new("cache.toml"));
    if named.is_none() && !path.is_file() {
        return Ok(CacheToml::default());
    }
    let name = path.display();
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read `{name}` (--cache)"))?;
    let file = match CacheFile::parse(&text) {
        Ok(file) => file,
        Err(error) => bail!("cannot use `{name}` (--cache): {error}"),
    };
    let place = match (file.enabled, file.directory) {
        (false, _) => CodeCache::Off,
        (true, None) => CodeCache::Default,
        (true, Some(folder)) => CodeCache::Directory(
            std::path::absolute(&folder)
                .with_context(|| format!("in `{name}`: the folder {}", folder.display()))?,
        ),
    };
    Ok(CacheToml {
        place,
        ignored: file.ignored,
    })
}

fn router(modules: &[LoadedModule]) -> Router {
    let health = Route::new(Health::ROUTE, "healthz", Arc::new(Health));
    let routes = modules.iter().flat_map(|module| {
        module.mounts.iter().map(|mount| {
            let handler = mount.handler.clone();
            let mut route = Route::new(&*mount.pattern, &*module.name, handler);
            route.timeout = module.module.settings().limits.request_timeout;
            (module.hosts.clone(), route)
        })
    });
    Router::in_order(
        [(Vec::<VirtualHost>::new(), health)]
            .into_iter()
            .chain(routes),
    )
}

/// What is said when the server is up.
fn lines(modules: &[LoadedModule]) -> Vec<String> {
    let mut lines = vec![banner::title(), String::new()];
    for module in modules {
        let routes: Vec<_> = module.mounts.iter().map(|mount| &mount.pattern).collect();
        lines.push(format!(
            "  {}  {} ({})",
            module.name,
            list(&routes),
            module.origin
        ));
    }
    lines.push(String::new());
    lines
}
