use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use headwater_config::RouteConfig;
use headwater_config::modules::{ModuleEntry, ModulesFile};
use headwater_egress::Egress;
use headwater_runtime::{Capabilities, Directory, Engine};
use headwater_server::VirtualHost;
use headwater_wagi::{ModuleReference, Mount, WagiModule, allowed_hosts};

use super::common::ModuleDefaults;
use super::fetch::{Cache, read};
use super::names::names;
use crate::diagnostics::{Diagnostic, Diagnostics, EntryDiagnostics};
use crate::spec::config_location::{AtKey, ConfigLocations};
use crate::spec::service_spec::ServiceSummary;

/// The modules of a file, each loaded, or why it is not.
pub(crate) struct Table {
    pub(crate) modules: Vec<(ModuleEntry, Result<LoadedModule, Vec<Diagnostic>>)>,
}

/// A module that can answer.
pub(crate) struct LoadedModule {
    pub(crate) name: String,
    /// The path, or the registry's name for it and its digest.
    pub(crate) origin: String,
    pub(crate) hosts: Vec<VirtualHost>,
    pub(crate) module: WagiModule,
    /// By which it calls out.
    egress: Egress,
    /// Its routes, in the order in which they are tried.
    pub(crate) mounts: Vec<Mount>,
}

// === impl LoadedModule ===

impl LoadedModule {
    /// As it is told of among services.
    pub(crate) fn service(&self) -> Result<crate::build::running_service::RunningService> {
        let settings = self.module.settings();
        let outline = ServiceSummary {
            name: self.name.as_str().into(),
            file: PathBuf::from(&self.origin),
            grants: allowed_hosts(&settings.allowed_hosts)?,
            environment: settings.environment.clone(),
            directories: settings
                .volumes
                .iter()
                .map(|volume| Directory {
                    host: volume.host.clone(),
                    guest: volume.guest.clone(),
                })
                .collect(),
            unverified: Vec::new(),
            capabilities: Capabilities::default().nothing(),
        };
        let routes = self.mounts.iter().map(|mount| RouteConfig {
            path: mount.pattern.clone(),
            hosts: self.hosts.iter().map(ToString::to_string).collect(),
            strip_prefix: false,
        });
        let (module, egress) = (self.module.clone(), self.egress.clone());
        let routes = routes.collect();
        Ok(crate::build::running_service::RunningService::module(
            outline, module, egress, routes,
        ))
    }
}

// === impl Table ===

impl Table {
    /// Loads all modules of the file at `path`.
    pub(crate) async fn load(
        path: &Path,
        file: ModulesFile,
        common: &ModuleDefaults,
        engine: &Engine,
    ) -> Self {
        let names = names(&file.modules);
        let locations = ConfigLocations::new(path, file.source());
        let cache = Cache::new(&common.arguments);
        let mut modules = Vec::new();
        for (index, (name, entry)) in names.into_iter().zip(file.modules).enumerate() {
            let mut found = Diagnostics::default();
            let what = what(&entry);
            let mut of_entry = found.entry(&locations, &what, "module", index);
            let loaded = load_one(path, &name, &entry, common, &cache, engine, &mut of_entry).await;
            let loaded = loaded.ok_or(found.errors);
            modules.push((entry, loaded));
        }
        Self { modules }
    }

    /// All modules that are loaded. Notes why the others are not.
    pub(crate) fn into_loaded(self, found: &mut Diagnostics) -> Vec<LoadedModule> {
        let loaded = self.modules.into_iter().map(|(_, loaded)| loaded);
        let loaded = loaded.map(|loaded| loaded.map_err(|errors| found.errors.extend(errors)));
        let loaded: Vec<_> = loaded.filter_map(Result::ok).collect();
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
        loaded
    }
}

/// How an entry is called in messages.
pub(super) fn what(entry: &ModuleEntry) -> String {
    let ModuleEntry { module, route, .. } = entry;
    format!("the module `{module}` at the route `{route}`")
}

/// Loads a module, or notes all that is wrong with it.
async fn load_one(
    path: &Path,
    name: &str,
    entry: &ModuleEntry,
    common: &ModuleDefaults,
    cache: &Cache,
    engine: &Engine,
    found: &mut EntryDiagnostics<'_>,
) -> Option<LoadedModule> {
    let hosts = entry.host.iter().map(|host| host.parse());
    let hosts = hosts.collect::<Result<_, _>>().context("in `host`");
    let hosts = found.keep(hosts.at("host"));
    let egress = found.keep(common.egress(name, entry, path).at("allowed_hosts"));
    let guest = found.keep(guest(path, entry, cache).await.at("module"));
    let ((bytes, origin), egress) = (guest?, egress?);
    let settings = common.settings(name, entry);
    let module = WagiModule::load_with_egress(engine, &bytes, settings, Some(egress.clone()));
    let module = found.keep(module.at("module"))?;
    let mounts = found.keep(module.mount(&entry.route).await.at("route"));
    Some(LoadedModule {
        name: name.to_owned(),
        origin,
        hosts: hosts?,
        module,
        egress,
        mounts: mounts?,
    })
}

/// The bytes of a module, and where they are from.
async fn guest(path: &Path, entry: &ModuleEntry, cache: &Cache) -> Result<(Vec<u8>, String)> {
    Ok(match ModuleReference::parse(&entry.module)? {
        ModuleReference::File(file) => (read(&file, path)?, file.display().to_string()),
        ModuleReference::Oci(reference) => cache.fetch(&reference).await?,
    })
}
