//! What `headwater check` tells of a modules.toml.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::{Context, Result};
use headwater_config::modules::{ModuleEntry, UnknownKey};
use headwater_runtime::Engine;
use headwater_server::{ListenerParams, Route, TlsParams};
use headwater_wagi::{Compat, Health, ResponseMode, SET_BY_HOST};

use super::common::Common;
use super::load::{Loaded, Table, what};
use super::shadow::{self, matches_nothing, shadowed_by};
use super::{code_cache, common, parse};
use crate::banner::list;
use crate::builtins::Builtin;
use crate::check::{Listener, Report};
use crate::cli;
use crate::cli::wagi::Wagi;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Place};
use crate::front;
use crate::operation::Operation;
use crate::said::Said;
use crate::services::HostSettings;

/// The module that outgoing requests are imported from.
const EXPERIMENTAL_HTTP: &str = "wasi_experimental_http";

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
    let operation = Operation::new(&arguments.operation, &HostSettings::default());
    let tls = super::tls(arguments).map_err(|error| Diagnostic::unplaced(Kind::Listener, &error));
    if let Some(tls) = found.keep(tls) {
        let mut listener = ListenerParams::at(arguments.listen);
        listener.tls = tls;
        let concerns = listener.tls.as_ref().map(TlsParams::check);
        for concern in concerns.and_then(Result::ok).into_iter().flatten() {
            found.warn(Diagnostic::certificate(&concern));
        }
        report.listeners.push(Listener::of(&listener));
    }
    let cache = code_cache(arguments.cache.as_deref());
    let cache = cache.map_err(|error| Diagnostic::unplaced(Kind::File, &error));
    let cache = found.keep(cache).map(|cache| cache.place);
    let cache = front::code_cache(&operation.server).or(cache);
    report.operation(&operation, &Said::default());
    let found = &mut report.found;
    let common = common(arguments).map_err(|error| Diagnostic::unplaced(Kind::Setting, &error));
    let (common, file) = (found.keep(common), parse(&path, content, found));
    let (Some(common), Some(file)) = (common, file) else {
        return Ok(());
    };
    let said = Said::new(&path, file.source());
    let unknown = file.unknown.clone();
    let places = front::places(&operation.server);
    let engine = Engine::with_cache(places, &cache.unwrap_or_default())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that run `_routes`")?;
    let table = runtime.block_on(Table::load(&path, file, &common, &engine));
    let mut sections = Sections::of(&table, &unknown, &common, &said);
    report.lines = sections.lines();
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

/// What is told of a file.
struct Sections<'a> {
    said: &'a Said,
    routes: Vec<String>,
    modules: Vec<String>,
    without_effect: Vec<String>,
    /// Beside what could not be loaded.
    found: Diagnostics,
}

/// A key of an entry.
#[derive(Clone, Copy)]
struct Key<'a> {
    entry: &'a ModuleEntry,
    index: usize,
    name: &'a str,
}

impl<'a> Sections<'a> {
    fn of(table: &Table, unknown: &[UnknownKey], common: &Common, said: &'a Said) -> Self {
        let mut sections = Self {
            said,
            routes: Vec::new(),
            modules: Vec::new(),
            without_effect: unknown.iter().map(ToString::to_string).collect(),
            found: Diagnostics::default(),
        };
        sections.routes(table);
        for (index, (entry, loaded)) in table.modules.iter().enumerate() {
            match loaded {
                Ok(loaded) => sections.module(entry, index, loaded, common),
                Err(problems) => {
                    sections.modules.push(format!("  {}", entry.module));
                    let problems = problems.iter().map(|it| &it.message);
                    let problems = problems.map(|it| format!("    PROBLEM      {it}"));
                    sections.modules.extend(problems);
                }
            }
        }
        sections
    }

    fn place(&self, Key { entry, index, name }: Key<'_>) -> Place {
        self.said.entry(&what(entry), "module", index, name)
    }

    /// A key that is read and changes nothing.
    fn idle(&mut self, key: Key<'_>, message: String, told: String) {
        self.without_effect.push(told);
        let place = self.place(key);
        self.found.warn(Diagnostic {
            kind: Kind::NoEffect,
            place: place.into(),
            message,
            remedy: None,
        });
    }

    fn routes(&mut self, table: &Table) {
        let mut places = vec![shadow::Place {
            pattern: Health::ROUTE,
            hosts: &[],
        }];
        self.routes
            .push(format!("    1  {}  answers OK (built in)", Health::ROUTE));
        for (index, (entry, loaded)) in table.modules.iter().enumerate() {
            let key = Key {
                entry,
                index,
                name: "route",
            };
            let Ok(loaded) = loaded else {
                self.routes
                    .push(format!("    ?  {}  PROBLEM, see below", entry.route));
                continue;
            };
            for mount in &loaded.mounts {
                let nth = places.len() + 1;
                let hosts = match loaded.hosts.is_empty() {
                    true => String::new(),
                    false => {
                        let hosts: Vec<_> = loaded.hosts.iter().map(ToString::to_string).collect();
                        format!(" on {}", hosts.join(", "))
                    }
                };
                let named = match mount.pattern == entry.route {
                    true => "",
                    false => ", named by `_routes`",
                };
                let (pattern, entrypoint) = (&mount.pattern, &mount.entrypoint);
                self.routes.push(format!(
                    "  {nth:>3}  {pattern}{hosts}  {} ({entrypoint}{named})",
                    loaded.name
                ));
                let place = shadow::Place {
                    pattern,
                    hosts: &loaded.hosts,
                };
                if let Some(problem) = &mount.problem {
                    self.routes
                        .push(format!("       PROBLEM: answers 500: {problem}"));
                    let place = self.place(key);
                    self.found.error(Diagnostic {
                        kind: Kind::Guest,
                        place: place.into(),
                        message: format!("the route `{pattern}` answers 500: {problem}"),
                        remedy: None,
                    });
                }
                if matches_nothing(pattern) {
                    let why = "no path is like it; a route begins with `/`";
                    let told = format!("the route `{pattern}`: {why}");
                    self.idle(
                        key,
                        format!("the route `{pattern}` has no effect: {why}"),
                        told,
                    );
                } else if let Some(earlier) = shadowed_by(&places, &place) {
                    let earlier = earlier + 1;
                    let why = "answers all its requests, because it comes first";
                    let told = format!("the route `{pattern}` ({nth}): route {earlier} {why}");
                    let by = places[earlier - 1].pattern;
                    let message =
                        format!("the route `{pattern}` has no effect: the route `{by}` {why}");
                    self.idle(key, message, told);
                }
                places.push(place);
            }
        }
    }

    fn module(&mut self, entry: &ModuleEntry, index: usize, loaded: &Loaded, common: &Common) {
        let settings = loaded.module.settings();
        let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, name) in loaded.module.imports() {
            imports.entry(module).or_default().insert(name);
        }
        self.modules.push(format!("  {}", loaded.name));
        self.modules
            .push(format!("    runs         {}", loaded.origin));
        if imports.is_empty() {
            self.modules.push("    imports      nothing".to_owned());
        }
        for (module, names) in &imports {
            let names: Vec<_> = names.iter().collect();
            self.modules
                .push(format!("    imports      {module}: {}", list(&names)));
        }
        // Names only: values may be secrets.
        let variables = settings.environment.iter().map(|(name, _)| {
            match common.environment.contains_key(name) {
                true => format!("{name} (command line)"),
                false => name.clone(),
            }
        });
        let variables: Vec<_> = variables.collect();
        self.modules.push(format!(
            "    environment  {}, beside the request's",
            list(&variables)
        ));
        let directories = settings
            .volumes
            .iter()
            .zip(3..)
            .map(|(volume, descriptor)| {
                let only = if volume.read_only { ", read only" } else { "" };
                let host = volume.host.display();
                format!("{host} as {} (descriptor {descriptor}{only})", volume.guest)
            });
        let directories: Vec<_> = directories.collect();
        self.modules
            .push(format!("    directories  {}", list(&directories)));
        self.modules.push(format!(
            "    may call     {}",
            list(&settings.allowed_hosts)
        ));
        self.modules.push(format!(
            "    behaves      as {}, its answers {}",
            match settings.compat {
                Compat::Default => "WAGI put right (compat \"default\")",
                Compat::Strict => "WAGI 0.8.1 (compat \"strict\")",
                Compat::V0_2 => "WAGI put right, with what 0.2 had (compat \"0.2\")",
            },
            match settings.response {
                ResponseMode::Buffer => "sent when it has ended",
                ResponseMode::Stream => "sent while it prints them",
            }
        ));
        let limits = &settings.limits;
        self.modules.push(format!(
            "    limits       {} ms to the response, {} MiB of memory, {} MiB of a response",
            limits.request_timeout.as_millis(),
            limits.guest_memory >> 20,
            limits.buffered_response >> 20,
        ));
        self.idle_keys(entry, index, &imports, common);
    }

    /// Keys that are read and change nothing.
    fn idle_keys(
        &mut self,
        entry: &ModuleEntry,
        index: usize,
        imports: &BTreeMap<&str, BTreeSet<&str>>,
        common: &Common,
    ) {
        let route = &entry.route;
        let mut idle = |name: &str, why: &str| {
            let told = format!("at the route `{route}`: `{name}`: {why}");
            let message = format!("`{name}` has no effect: {why}");
            self.idle(Key { entry, index, name }, message, told);
        };
        if entry.bindle_server.is_some() {
            idle("bindle_server", "there are no `bindle:` modules any more");
        }
        if !imports.contains_key(EXPERIMENTAL_HTTP) {
            let unused = "the module makes no outgoing requests";
            if !entry.allowed_hosts.is_empty() {
                idle("allowed_hosts", unused);
            }
            if entry.http_max_concurrency.is_some() {
                idle("http_max_concurrency", unused);
            }
        }
        for name in entry.environment.keys() {
            let key = format!("environment.{name}");
            if SET_BY_HOST.contains(&name.as_str()) {
                idle(&key, "each request sets it");
            } else if common.environment.contains_key(name) {
                idle(&key, "the command line sets it");
            }
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut lines = vec!["Routes, in the order in which they are tried:".to_owned()];
        lines.extend(self.routes.iter().cloned());
        lines.extend([String::new(), "Modules:".to_owned()]);
        lines.extend(self.modules.iter().cloned());
        lines.extend([String::new(), "Without effect:".to_owned()]);
        match self.without_effect.is_empty() {
            true => lines.push("  nothing".to_owned()),
            false => lines.extend(self.without_effect.iter().map(|what| format!("  {what}"))),
        }
        lines
    }
}
