//! The text about a modules.toml: routes, modules, and keys without effect.

use std::collections::{BTreeMap, BTreeSet};

use headwater_config::modules::{ModuleEntry, UnknownKey};
use headwater_core::CONTEXT_VARIABLE;
use headwater_wagi::{Compat, Health, ResponseMode, SET_BY_HOST};

use crate::banner::list;
use crate::build::running_service::{Runner, RunningService, hosts};
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::spec::config_location::ConfigLocations;
use crate::spec::modules::{ModuleFlags, what};

use super::Checked;
use super::shadow::{self, matches_nothing, shadowed_by};

/// The module that outgoing requests are imported from.
const EXPERIMENTAL_HTTP: &str = "wasi_experimental_http";

pub(super) struct Sections<'a> {
    locations: &'a ConfigLocations,
    routes: Vec<String>,
    modules: Vec<String>,
    without_effect: Vec<String>,
    /// Diagnostics, without those about modules that cannot be loaded.
    pub(super) found: Diagnostics,
}

#[derive(Clone, Copy)]
struct Key<'a> {
    entry: &'a ModuleEntry,
    index: usize,
    name: &'a str,
}

impl<'a> Sections<'a> {
    pub(super) fn of(
        modules: &[Checked<'_>],
        unknown: &[UnknownKey],
        flags: &ModuleFlags,
        locations: &'a ConfigLocations,
    ) -> Self {
        let mut sections = Self {
            locations,
            routes: Vec::new(),
            modules: Vec::new(),
            without_effect: unknown.iter().map(ToString::to_string).collect(),
            found: Diagnostics::default(),
        };
        sections.routes(modules);
        for (index, (entry, loaded)) in modules.iter().enumerate() {
            match loaded {
                Ok(service) => sections.module(entry, index, service, flags),
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

    fn place(&self, Key { entry, index, name }: Key<'_>) -> Position {
        self.locations.entry(&what(entry), "module", index, name)
    }

    /// Reports a key without effect.
    fn idle(&mut self, key: Key<'_>, message: String, told: String) {
        self.without_effect.push(told);
        let place = self.place(key);
        self.found
            .warn(Diagnostic::new(Kind::NoEffect, place, message));
    }

    fn routes(&mut self, modules: &[Checked<'_>]) {
        let mut places = vec![shadow::RoutePattern {
            pattern: Health::ROUTE,
            hosts: Vec::new(),
        }];
        self.routes
            .push(format!("    1  {}  answers OK (built in)", Health::ROUTE));
        for (index, (entry, loaded)) in modules.iter().enumerate() {
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
            let Runner::Module(mounted) = &loaded.runner else {
                continue;
            };
            for (mount, route) in mounted.mounts.iter().zip(&loaded.routes) {
                let nth = places.len() + 1;
                let on = match route.hosts.is_empty() {
                    true => String::new(),
                    false => format!(" on {}", route.hosts.join(", ")),
                };
                let named = match mount.pattern == entry.route {
                    true => "",
                    false => ", named by `_routes`",
                };
                let (pattern, entrypoint) = (&mount.pattern, &mount.entrypoint);
                self.routes.push(format!(
                    "  {nth:>3}  {pattern}{on}  {} ({entrypoint}{named})",
                    loaded.name()
                ));
                let place = shadow::RoutePattern {
                    pattern,
                    hosts: hosts(&route.hosts).unwrap_or_default(),
                };
                if let Some(problem) = &mount.problem {
                    self.routes
                        .push(format!("       PROBLEM: answers 500: {problem}"));
                    let place = self.place(key);
                    let message = format!("the route `{pattern}` answers 500: {problem}");
                    self.found
                        .error(Diagnostic::new(Kind::Guest, place, message));
                }
                if matches_nothing(pattern) {
                    let why = "no path matches it; routes begin with `/`";
                    let told = format!("the route `{pattern}`: {why}");
                    let message = format!("the route `{pattern}` has no effect: {why}");
                    self.idle(key, message, told);
                } else if let Some(earlier) = shadowed_by(&places, &place) {
                    let earlier = earlier + 1;
                    let why = "comes first and answers all of these requests";
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

    fn module(
        &mut self,
        entry: &ModuleEntry,
        index: usize,
        service: &RunningService,
        flags: &ModuleFlags,
    ) {
        let Runner::Module(mounted) = &service.runner else {
            return;
        };
        let module = &mounted.module;
        let settings = module.settings();
        let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (module, name) in module.imports() {
            imports.entry(module).or_default().insert(name);
        }
        self.modules.push(format!("  {}", service.name()));
        self.modules.push(format!(
            "    runs         {}",
            service.outline.file.display()
        ));
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
            match flags.environment.contains_key(name) {
                true => format!("{name} (command line)"),
                false => name.clone(),
            }
        });
        let variables: Vec<_> = variables.collect();
        self.modules.push(format!(
            "    environment  {}, in addition to the request's",
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
        self.modules
            .push(format!("    may call     {}", list(&entry.allowed_hosts)));
        self.modules.push(format!(
            "    behaves      as {}, its answers {}",
            match settings.compat {
                Compat::Default => "WAGI with its bugs fixed (compat \"default\")",
                Compat::Strict => "WAGI 0.8.1 (compat \"strict\")",
                Compat::V0_2 => "WAGI with its bugs fixed, and with what 0.2 had (compat \"0.2\")",
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
        self.idle_keys(entry, index, &imports, flags);
    }

    fn idle_keys(
        &mut self,
        entry: &ModuleEntry,
        index: usize,
        imports: &BTreeMap<&str, BTreeSet<&str>>,
        flags: &ModuleFlags,
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
            if name.starts_with(CONTEXT_VARIABLE) {
                idle(&key, "the name is that of a value of the request's context");
            } else if SET_BY_HOST.contains(&name.as_str()) {
                idle(&key, "each request sets it");
            } else if flags.environment.contains_key(name) {
                idle(&key, "the command line sets it");
            }
        }
    }

    pub(super) fn lines(&self) -> Vec<String> {
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
