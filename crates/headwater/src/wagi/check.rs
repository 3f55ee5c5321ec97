use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use headwater_config::modules::{ModuleEntry, ModulesFile, UnknownKey};
use headwater_core::explain;
use headwater_runtime::Engine;
use headwater_wagi::{Compat, Health, ResponseMode, SET_BY_HOST};

use super::common::Common;
use super::load::{Loaded, Table};
use super::shadow::{Place, matches_nothing, shadowed_by};
use crate::banner::{list, print};
use crate::cli::wagi::Check;

/// Enough for `_routes`.
const PLACES: u32 = 4;

/// The module that outgoing requests are imported from.
const EXPERIMENTAL_HTTP: &str = "wasi_experimental_http";

/// `headwater check`.
pub(crate) fn run(arguments: Check) -> Result<()> {
    let path = &arguments.file;
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read `{name}`: check the path and its permissions"))?;
    if !ModulesFile::recognises(&text) {
        bail!("`{name}` is no modules.toml: `check` explains those of WAGI");
    }
    let file = ModulesFile::parse(&text).with_context(|| format!("cannot use `{name}`"))?;
    let unknown = file.unknown.clone();
    let common = Common::new(
        &arguments.modules,
        &arguments.limits,
        &arguments.outgoing,
        None,
    )?;
    let engine = Engine::with_places(PLACES)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the threads that run `_routes`")?;
    let table = runtime.block_on(Table::load(path, file, &common, &engine));
    let report = Report::of(&table, &unknown, &common);
    print(&report.lines());
    match report.problems {
        0 => Ok(()),
        1 => bail!("there is a problem, see above"),
        several => bail!("there are {several} problems, see above"),
    }
}

/// What is told of a file.
#[derive(Default)]
struct Report {
    routes: Vec<String>,
    modules: Vec<String>,
    without_effect: Vec<String>,
    problems: usize,
}

impl Report {
    fn of(table: &Table, unknown: &[UnknownKey], common: &Common) -> Self {
        let mut report = Self {
            without_effect: unknown.iter().map(ToString::to_string).collect(),
            ..Self::default()
        };
        report.routes(table);
        for (entry, loaded) in &table.modules {
            match loaded {
                Ok(loaded) => report.module(entry, loaded, common),
                Err(error) => {
                    report.problems += 1;
                    report.modules.push(format!("  {}", entry.module));
                    let problem = explain(error.as_ref());
                    report.modules.push(format!("    PROBLEM      {problem}"));
                }
            }
        }
        report
    }

    fn routes(&mut self, table: &Table) {
        let mut places = vec![Place {
            pattern: Health::ROUTE,
            hosts: &[],
        }];
        self.routes
            .push(format!("    1  {}  answers OK (built in)", Health::ROUTE));
        for (entry, loaded) in &table.modules {
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
                let place = Place {
                    pattern,
                    hosts: &loaded.hosts,
                };
                if let Some(problem) = &mount.problem {
                    self.problems += 1;
                    self.routes
                        .push(format!("       PROBLEM: answers 500: {problem}"));
                }
                if matches_nothing(pattern) {
                    self.without_effect.push(format!(
                        "the route `{pattern}`: no path is like it; a route begins with `/`"
                    ));
                } else if let Some(earlier) = shadowed_by(&places, &place) {
                    self.without_effect.push(format!(
                        "the route `{pattern}` ({nth}): route {} answers all its requests, because it \
                         comes first",
                        earlier + 1
                    ));
                }
                places.push(place);
            }
        }
    }

    fn module(&mut self, entry: &ModuleEntry, loaded: &Loaded, common: &Common) {
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
        self.idle_keys(entry, &imports, common);
    }

    /// Keys that are read and change nothing.
    fn idle_keys(
        &mut self,
        entry: &ModuleEntry,
        imports: &BTreeMap<&str, BTreeSet<&str>>,
        common: &Common,
    ) {
        let route = &entry.route;
        let mut idle = |what: String| {
            self.without_effect
                .push(format!("at the route `{route}`: {what}"));
        };
        if entry.bindle_server.is_some() {
            idle("`bindle_server`: there are no `bindle:` modules any more".to_owned());
        }
        if !imports.contains_key(EXPERIMENTAL_HTTP) {
            let unused = "the module makes no outgoing requests";
            if !entry.allowed_hosts.is_empty() {
                idle(format!("`allowed_hosts`: {unused}"));
            }
            if entry.http_max_concurrency.is_some() {
                idle(format!("`http_max_concurrency`: {unused}"));
            }
        }
        for name in entry.environment.keys() {
            if SET_BY_HOST.contains(&name.as_str()) {
                idle(format!("`environment.{name}`: each request sets it"));
            } else if common.environment.contains_key(name) {
                idle(format!("`environment.{name}`: the command line sets it"));
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
