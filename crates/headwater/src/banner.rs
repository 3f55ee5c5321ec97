use std::io::{self, ErrorKind, Write};
use std::sync::Arc;

use anyhow::{Context, Result};
use headwater_chain::FailMode;
use headwater_runtime::capability::Explained;

use crate::build::running_service::RunningService;
use crate::spec::builtins::{Builtin, BuiltinRoute};
use crate::spec::chain::ChainPlace;
use crate::spec::service_spec::Guest;

/// Prints a text to standard output. A reader that has left is not an error: `head` leaves when it
/// has enough.
pub(crate) fn print_whole(text: &str) -> Result<()> {
    let mut output = io::stdout().lock();
    let written = output.write_all(text.as_bytes());
    match written.and_then(|()| output.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to standard output")
        }
        _ => Ok(()),
    }
}

/// Returns the lines that describe the services, their routes and the grants of each guest.
pub(crate) fn lines(services: &[Arc<RunningService>], builtins: &[Builtin]) -> Vec<String> {
    let mut lines = vec![title()];
    for service in services {
        lines.push(String::new());
        lines.extend(describe(service));
    }
    if !builtins.is_empty() {
        lines.push(String::new());
    }
    for builtin in builtins {
        let routes: Vec<_> = builtin.routes.iter().map(at_builtin).collect();
        lines.push(format!("  {}  {}", list(&routes), builtin.does));
    }
    lines.push(String::new());
    lines
}

/// Returns the lines that describe the modules of a modules.toml and their routes.
pub(crate) fn modules(services: &[Arc<RunningService>]) -> Vec<String> {
    let module = |service: &Arc<RunningService>| {
        let routes: Vec<_> = service.routes.iter().map(|route| &route.path).collect();
        let (name, file) = (service.name(), service.outline.file.display());
        format!("  {name}  {} ({file})", list(&routes))
    };
    let mut lines = vec![title(), String::new()];
    lines.extend(services.iter().map(module));
    lines.push(String::new());
    lines
}

fn at_builtin(BuiltinRoute { route, middleware }: &BuiltinRoute) -> String {
    let place = place(&route.pattern, &route.hosts);
    match middleware.is_empty() {
        true => place,
        false => format!("{place} behind {}", middleware.join(", ")),
    }
}

fn place<H: ToString>(path: &str, hosts: &[H]) -> String {
    if hosts.is_empty() {
        return path.to_owned();
    }
    let hosts: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    format!("{path} on {}", hosts.join(", "))
}

fn title() -> String {
    format!("Headwater {}", env!("CARGO_PKG_VERSION"))
}

fn describe(service: &RunningService) -> Vec<String> {
    let outline = &service.outline;
    let component = service.runner.component();
    let kind = match component {
        Some(component) => {
            let composed = if component.is_composed() {
                ", composed"
            } else {
                ""
            };
            format!(
                "component, {}{composed}",
                service.world().unwrap_or_default()
            )
        }
        None => match service.spec.guest {
            Guest::Component(_) => "component".to_owned(),
            Guest::Module(_) => "WAGI module".to_owned(),
        },
    };
    let routes: Vec<_> = service
        .routes
        .iter()
        .map(|route| {
            let place = place(&route.path, &route.hosts);
            match &route.middleware {
                Some(names) => format!("{place} behind {}", list(names)),
                None => place,
            }
        })
        .collect();
    let (at, place) = match &service.chain {
        ChainPlace::Service(names) if names.is_empty() => (list(&routes), None),
        ChainPlace::Service(names) => (
            list(&routes),
            Some(format!("    behind       {}", names.join(", "))),
        ),
        ChainPlace::Middleware(link) => {
            let fails = match link.fail {
                FailMode::Closed => "closed: the request fails with it",
                FailMode::Open => "open: the request goes on without it",
            };
            (
                "(middleware)".to_owned(),
                Some(format!("    fails        {fails}")),
            )
        }
    };
    let mut lines = vec![
        format!("  {}  {at}", outline.name),
        format!("    runs         {} ({kind})", outline.file.display()),
    ];
    lines.extend(place);
    lines.push(format!("    instances    {}", instances(service)));
    if service.is_lazy() {
        lines.push("    load         at the first request".to_owned());
    }
    lines.extend(service.explain().iter().map(|line| match line {
        Explained::Fact { what, items } => format!("    {what:<12} {}", list(items)),
        Explained::Warning(warning) => format!("    WARNING      {warning}"),
    }));
    if let Some(component) = component {
        let warnings = component.warnings().iter();
        lines.extend(warnings.map(|warning| format!("    WARNING      {warning}")));
    }
    // Names only: values may be secrets.
    let names: Vec<_> = outline
        .environment
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    lines.push(format!("    environment  {}", list(&names)));
    let directories: Vec<_> = outline
        .directories
        .iter()
        .map(|directory| format!("{} as {}", directory.host.display(), directory.guest))
        .collect();
    lines.push(format!("    directories  {}", list(&directories)));
    lines
}

fn instances(service: &RunningService) -> String {
    let Some(component) = service.runner.component() else {
        return match service.spec.guest {
            // The world decides on the defaults.
            Guest::Component(_) => "known when it is loaded".to_owned(),
            Guest::Module(_) => "a fresh one for each request".to_owned(),
        };
    };
    let pool = component.pool_settings();
    let most = pool.max_instances;
    let (least, last) = pool.max_requests_per_instance.clone().into_inner();
    let renewed = if least == last {
        least.to_string()
    } else {
        format!("{least} to {last}")
    };
    match (pool.max_concurrent_per_instance, last) {
        (_, 1) => format!("a fresh one for each request, up to {most} at once"),
        (1, _) => format!("up to {most}, one request at a time, renewed after {renewed}"),
        (concurrent, _) => format!(
            "up to {most}, shared by up to {concurrent} requests at once unless the guest applies \
             backpressure, renewed after {renewed}"
        ),
    }
}

/// Returns the items of a list as text, or `none`.
pub(crate) fn list<T: AsRef<str>>(items: &[T]) -> String {
    if items.is_empty() {
        return "none".to_owned();
    }
    let items: Vec<_> = items.iter().map(AsRef::as_ref).collect();
    items.join(", ")
}
