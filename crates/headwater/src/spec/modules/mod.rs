//! The modules.toml of `headwater wagi`, and its flags.

mod entry;
mod fetch;
mod flags;
mod names;
mod variables;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use headwater_config::modules::{ModuleEntry, ModulesFile, UnknownKey};
use headwater_server::Route;
use headwater_wagi::Health;

use self::entry::Entries;
use self::fetch::Cache;
pub(crate) use self::flags::ModuleFlags;
use self::names::names;
use crate::cli;
use crate::cli::wagi::Wagi;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::input;
use crate::spec::builtins::{Builtin, BuiltinRoute};
use crate::spec::config_location::ConfigLocations;
use crate::spec::host_spec::{HostSpec, Routing, SpecSource};
use crate::spec::internal_grants::idle_grant;
use crate::spec::prepared::PreparedService;

/// A modules.toml, and the command line for it.
pub(crate) struct ModulesSource {
    pub(crate) path: PathBuf,
    pub(crate) arguments: Wagi,
    /// Warnings about flags, and about keys of the cache.toml.
    pub(crate) warnings: Vec<Diagnostic>,
}

// === impl ModulesSource ===

impl ModulesSource {
    /// Returns true if the file and the flags have no errors. Does not read or fetch modules.
    pub(crate) fn is_sound(&self) -> bool {
        let mut found = Diagnostics::default();
        self.parts(&mut found);
        found.errors.is_empty()
    }

    fn parts(&self, found: &mut Diagnostics) -> (Option<ModulesFile>, Option<ModuleFlags>) {
        let file = found.keep(input::read(&self.path));
        let file = file.and_then(|content| parse(&self.path, content, found));
        (file, ModuleFlags::of(&self.arguments, found))
    }
}

impl SpecSource for ModulesSource {
    fn read(&self, found: &mut Diagnostics) -> Option<HostSpec> {
        let parts = self.parts(found);
        let unknown = cli::unknown_variables("wagi", &BTreeSet::new());
        found.warnings.extend(unknown);
        found.warnings.extend(self.warnings.iter().cloned());
        let (file, flags) = (parts.0?, parts.1?);
        let modules = prepare(&self.path, &file, &self.arguments, &flags);
        let modules = modules.into_iter();
        let services =
            modules.filter_map(|module| module.map_err(|errors| found.errors.extend(errors)).ok());
        Some(HostSpec {
            services: services.collect(),
            builtins: vec![health()],
            routing: Routing::First,
            ..HostSpec::default()
        })
    }

    fn file(&self) -> Option<PathBuf> {
        Some(self.path.clone())
    }
}

/// Returns the services of a file, in its order, or the errors of each.
pub(crate) fn prepare(
    path: &Path,
    file: &ModulesFile,
    arguments: &Wagi,
    flags: &ModuleFlags,
) -> Vec<Result<PreparedService, Vec<Diagnostic>>> {
    let locations = ConfigLocations::new(path, file.source());
    let entries = Entries {
        path,
        arguments,
        flags,
        cache: Cache::new(&arguments.modules),
    };
    let names = names(&file.modules).into_iter().zip(&file.modules);
    let modules = names.enumerate().map(|(index, (name, entry))| {
        let mut found = Diagnostics::default();
        let what = what(entry);
        let mut of_entry = found.entry(&locations, &what, "module", index);
        let module = entries.prepare(&name, entry, &mut of_entry);
        let module = found.accept(module).map_err(|refused| refused.0.errors)?;
        Ok(module.0)
    });
    modules.collect()
}

/// Returns the name of an entry in messages.
pub(crate) fn what(entry: &ModuleEntry) -> String {
    let ModuleEntry { module, route, .. } = entry;
    format!("the module `{module}` at the route `{route}`")
}

/// Returns the route that WAGI answers itself.
pub(crate) fn health() -> Builtin {
    Builtin {
        does: "answers OK".to_owned(),
        routes: vec![BuiltinRoute {
            route: Route::new(Health::ROUTE, "healthz", Arc::new(Health)),
            middleware: Vec::new(),
        }],
    }
}

/// Parses as much of a modules.toml as possible.
pub(crate) fn parse(path: &Path, content: Vec<u8>, found: &mut Diagnostics) -> Option<ModulesFile> {
    let text = String::from_utf8(content).map_err(|error| {
        let message = format!("the file is not text ({error}): a modules.toml is expected");
        Diagnostic::new(Kind::File, Position::file(path), message)
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
        let place = Position::located(path, location.clone());
        let message = format!("`{key}` has no effect");
        found.warn(Diagnostic::new(Kind::NoEffect, place, message).with_remedy(meaning));
    }
    for (index, entry) in file.modules.iter().enumerate() {
        for (at, host) in entry.allowed_hosts.iter().enumerate() {
            // Modules have no internal names for each other.
            let grant = host.parse().ok();
            let key = format!("allowed_hosts.{at}");
            let place = locations.entry(&what(entry), "module", index, &key);
            let warning = grant.and_then(|grant| idle_grant(&grant, &[], place));
            found.warnings.extend(warning);
        }
    }
    Some(file)
}
