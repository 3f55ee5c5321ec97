use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use headwater_config::modules::{self, ModuleEntry, ModulesFile};
use headwater_config::settings::LimitSettings;
use headwater_config::{Count, Memory, Time};
use headwater_core::{Limits, LoopGuard};
use headwater_egress::{Egress, EgressParams, EgressShared, TlsRoots, TraceHeaders};
use headwater_oci::{ModuleCache, Origin, Reference};
use headwater_runtime::Engine;
use headwater_server::HostPattern;
use headwater_telemetry::Metrics;
use headwater_wagi::{
    Compat, ModuleReference, Mount, ResponseMode, Volume, WagiModule, WagiSettings, allowed_hosts,
};
use tempfile::TempDir;

use super::names::names;
use super::variables;
use crate::cli::wagi::{self, ModuleArgs, OutgoingArgs};
use crate::connecting::Connecting;
use crate::exit::Usage;
use crate::meaning;
use crate::outgoing;

/// What the command line says of all modules.
pub(crate) struct Common {
    arguments: ModuleArgs,
    log_dir: Option<PathBuf>,
    /// What the command line gives to all modules.
    pub(crate) environment: BTreeMap<String, String>,
    limits: LimitSettings,
    trace_headers: TraceHeaders,
    outgoing: outgoing::Settings,
    connecting: Connecting,
    /// The bounds on what all modules send.
    pub(crate) shared: EgressShared,
    pub(crate) metrics: Metrics,
    /// What ends loops.
    pub(crate) loops: LoopGuard,
    /// Shared, so that the machine's certificates are read once.
    pub(crate) tls_roots: TlsRoots,
}

/// The modules of a file, each loaded, or why it is not.
pub(crate) struct Table {
    pub(crate) modules: Vec<(ModuleEntry, Result<Loaded>)>,
}

/// A module that can answer.
pub(crate) struct Loaded {
    pub(crate) name: String,
    /// The path, or the registry's name for it and its digest.
    pub(crate) origin: String,
    pub(crate) hosts: Vec<HostPattern>,
    pub(crate) module: WagiModule,
    /// Its routes, in the order in which they are tried.
    pub(crate) mounts: Vec<Mount>,
}

// === impl Common ===

impl Common {
    pub(crate) fn new(
        arguments: &ModuleArgs,
        limits: &LimitSettings,
        outgoing: &OutgoingArgs,
        log_dir: Option<PathBuf>,
    ) -> Result<Self> {
        let OutgoingArgs {
            connecting,
            trace_headers,
            requests,
        } = outgoing;
        let usage = |error: anyhow::Error| Usage(format!("on the command line, {error:#}"));
        Ok(Self {
            limits: limits.clone(),
            trace_headers: meaning::trace_headers(trace_headers),
            outgoing: outgoing::Settings::of(requests).map_err(usage)?,
            connecting: Connecting::of(connecting, Vec::new(), Vec::new()).map_err(usage)?,
            shared: EgressShared::default(),
            environment: variables::given(arguments)?,
            arguments: arguments.clone(),
            log_dir,
            metrics: Metrics::default(),
            loops: LoopGuard::default(),
            tls_roots: TlsRoots::default(),
        })
    }

    fn settings(&self, name: &str, entry: &ModuleEntry) -> WagiSettings {
        let compat = self.compat(entry);
        // As WAGI's help says: the command line's override those of the file.
        let mut environment = entry.environment.clone();
        environment.extend(self.environment.clone());
        let defaults = WagiSettings::new(name);
        // Here it is the module that goes before the command line.
        let said = LimitSettings {
            timeout: entry.timeout,
            memory: entry.memory,
            max_instances: entry.max_instances,
            max_cpu_time: entry.max_cpu_time,
        };
        let said = said.or(self.limits.clone());
        WagiSettings {
            entrypoint: entry.entrypoint.clone().unwrap_or(defaults.entrypoint),
            environment: environment.into_iter().collect(),
            argv: entry.argv.clone(),
            volumes: volumes(name, entry, compat),
            default_host: self.arguments.hostname.clone(),
            compat,
            response: match entry.response {
                Some(modules::Response::Buffer) => ResponseMode::Buffer,
                Some(modules::Response::Stream) => ResponseMode::Stream,
                None => compat.response(),
            },
            allowed_hosts: entry.allowed_hosts.clone(),
            http_max_concurrency: entry.http_max_concurrency,
            pass_authorization: entry.pass_authorization,
            log_dir: self.log_dir.clone(),
            max_instances: said.max_instances.map(Count::get),
            max_cpu_time: said.max_cpu_time.map(Time::get),
            max_wall_time: entry.max_wall_time.map(Time::get),
            max_output: entry.max_output.map(Memory::bytes),
            limits: Limits {
                buffered_response: entry
                    .max_response
                    .map_or(defaults.limits.buffered_response, |size| {
                        usize::try_from(size.bytes()).unwrap_or(usize::MAX)
                    }),
                ..meaning::limits(&said)
            },
            ..WagiSettings::new(name)
        }
    }

    fn compat(&self, entry: &ModuleEntry) -> Compat {
        match (entry.compat, self.arguments.compat) {
            (Some(modules::Compat::Default), _) | (None, wagi::Compat::Default) => Compat::Default,
            (Some(modules::Compat::Strict), _) | (None, wagi::Compat::Strict) => Compat::Strict,
            (Some(modules::Compat::V0_2), _) | (None, wagi::Compat::V0_2) => Compat::V0_2,
        }
    }
}

/// A module's directories. Strictly, one that cannot be opened is left out; otherwise that is an error
/// when the module is loaded, because it would move the descriptors of those after it.
fn volumes(name: &str, entry: &ModuleEntry, compat: Compat) -> Vec<Volume> {
    let usable = |volume: &&modules::VolumeEntry| {
        let opened = std::fs::read_dir(&volume.host);
        if let (Compat::Strict, Err(error)) = (compat, &opened) {
            let (guest, host) = (&volume.guest, volume.host.display());
            tracing::warn!(service = name, %error, "the volume `{guest}` ({host}) is left out");
        }
        compat != Compat::Strict || opened.is_ok()
    };
    let volumes = entry.volumes.iter().filter(usable);
    volumes
        .map(|volume| Volume {
            guest: volume.guest.clone(),
            host: volume.host.clone(),
            read_only: volume.read_only,
        })
        .collect()
}

// === impl Table ===

impl Table {
    /// Loads all modules of the file at `path`.
    pub(crate) async fn load(
        path: &Path,
        file: ModulesFile,
        common: &Common,
        engine: &Engine,
    ) -> Self {
        let names = names(&file.modules);
        let cache = Cache::new(&common.arguments);
        let mut modules = Vec::new();
        for (name, entry) in names.into_iter().zip(file.modules) {
            let loaded = load_one(path, &name, &entry, common, &cache, engine).await;
            let loaded = loaded.with_context(|| {
                format!(
                    "the module `{}` at the route `{}`",
                    entry.module, entry.route
                )
            });
            modules.push((entry, loaded));
        }
        Self { modules }
    }

    /// All modules, or the first one's problem.
    pub(crate) fn into_loaded(self) -> Result<Vec<Loaded>> {
        let loaded: Vec<Loaded> = self
            .modules
            .into_iter()
            .map(|(_, loaded)| loaded)
            .collect::<Result<_>>()?;
        for module in &loaded {
            for mount in &module.mounts {
                if let Some(problem) = &mount.problem {
                    tracing::error!(
                        service = module.name,
                        route = mount.pattern,
                        "this route answers 500: {problem}"
                    );
                }
            }
        }
        Ok(loaded)
    }
}

async fn load_one(
    path: &Path,
    name: &str,
    entry: &ModuleEntry,
    common: &Common,
    cache: &Cache,
    engine: &Engine,
) -> Result<Loaded> {
    let hosts = entry.host.iter().map(|host| host.parse());
    let hosts = hosts.collect::<Result<_, _>>().context("in `host`")?;
    let (bytes, origin) = match ModuleReference::parse(&entry.module)? {
        ModuleReference::File(file) => (read(&file, path)?, file.display().to_string()),
        ModuleReference::Oci(reference) => cache.fetch(&reference).await?,
    };
    let settings = common.settings(name, entry);
    let outgoing::Settings {
        timeouts,
        limits,
        pool,
        h2c,
    } = common.outgoing.clone();
    let egress = Egress::new(EgressParams {
        grants: allowed_hosts(&entry.allowed_hosts)?,
        timeouts,
        limits,
        shared: common.shared.clone(),
        pool,
        h2c,
        tls: common.connecting.tls.clone(),
        proxy: common.connecting.proxy.clone(),
        trace_headers: common.trace_headers,
        tls_roots: common.tls_roots.clone(),
        metrics: common.metrics.clone(),
        loops: common.loops.clone(),
        ..EgressParams::new(name)
    });
    let module = WagiModule::load_with_egress(
        engine.wasmtime(),
        engine.room(),
        &bytes,
        settings,
        Some(egress),
    )?;
    let mounts = module.mount(&entry.route).await?;
    Ok(Loaded {
        name: name.to_owned(),
        origin,
        hosts,
        module,
        mounts,
    })
}

/// Reads a module. Paths are from the working directory, as in WAGI; many expect them to be from the
/// file's.
fn read(module: &Path, file: &Path) -> Result<Vec<u8>> {
    let error = match std::fs::read(module) {
        Ok(bytes) => return Ok(bytes),
        Err(error) => error,
    };
    let folder = file.parent().unwrap_or(Path::new(""));
    let beside = folder.join(module);
    if module.is_relative() && folder != Path::new("") && beside.is_file() {
        bail!(
            "cannot read `{}`: {error}: paths are from the working directory, as in WAGI, and there is \
             one in the file's: run the command in `{}`, or write `{}`",
            module.display(),
            folder.display(),
            beside.display()
        );
    }
    bail!(
        "cannot read `{}`: {error}: check the path",
        module.display()
    )
}

/// The cache of modules from registries; made when one is fetched.
struct Cache {
    folder: Option<PathBuf>,
    refresh: headwater_oci::Refresh,
    /// Removed when all modules are loaded.
    temporary: tokio::sync::OnceCell<TempDir>,
}

impl Cache {
    fn new(arguments: &ModuleArgs) -> Self {
        Self {
            folder: arguments.module_cache.clone(),
            refresh: match arguments.module_refresh {
                wagi::Refresh::Start => headwater_oci::Refresh::Always,
                wagi::Refresh::Never => headwater_oci::Refresh::Never,
            },
            temporary: tokio::sync::OnceCell::new(),
        }
    }

    async fn fetch(&self, reference: &str) -> Result<(Vec<u8>, String)> {
        let reference = Reference::parse(reference)?;
        let folder = match &self.folder {
            Some(folder) => folder.clone(),
            None => self
                .temporary
                .get_or_try_init(|| async { TempDir::new() })
                .await
                .context("there is no folder for modules from registries (see --module-cache)")?
                .path()
                .to_owned(),
        };
        let fetched = ModuleCache::new(folder, self.refresh)
            .fetch(&reference)
            .await?;
        let from = match fetched.origin {
            Origin::Registry => "fetched",
            Origin::Cache => "cached",
        };
        tracing::info!(%reference, digest = fetched.digest, "module {from}");
        let origin = format!("{reference}, {}", fetched.digest);
        Ok((fetched.bytes, origin))
    }
}
