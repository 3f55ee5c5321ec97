//! The result of checking a file, for programs. docs/reference/check.md describes it.

use serde_json::{Value, json};

use super::report::Report;
use crate::build::running_service::{RunningService, called};
use crate::diagnostics::Diagnostic;
use crate::spec::builtins::BuiltinRoute;

pub(super) fn document(report: &Report) -> Value {
    let found = &report.found;
    let listeners = report.listeners.iter().map(|listener| {
        json!({
            "address": listener.address,
            "tls": listener.tls,
        })
    });
    let middlewares = report.services.iter().filter(|it| it.is_middleware());
    let builtins = report.builtins.iter().map(|builtin| {
        json!({
            "does": builtin.does,
            "routes": builtin.routes.iter().map(builtin_route).collect::<Value>(),
        })
    });
    json!({
        "file": report.file,
        "ok": found.errors.is_empty(),
        "errors": found.errors.iter().map(diagnostic).collect::<Value>(),
        "warnings": found.warnings.iter().map(diagnostic).collect::<Value>(),
        "services": called(&report.services).map(|it| service(it)).collect::<Value>(),
        "middlewares": middlewares.map(|it| service(it)).collect::<Value>(),
        "builtins": builtins.collect::<Value>(),
        "listeners": listeners.collect::<Value>(),
        "admin": report.admin.map(|address| address.to_string()),
        "probes": report.probes.map(|address| address.to_string()),
    })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    let Diagnostic {
        kind,
        place,
        message,
        remedy,
    } = diagnostic;
    let location = place.location.as_ref();
    json!({
        "kind": kind.as_str(),
        "file": place.file,
        "line": location.map(|at| at.line),
        "column": location.map(|at| at.column),
        "text": location.map(|at| &at.text),
        "entry": place.entry,
        "message": message,
        "remedy": remedy,
    })
}

fn service(service: &RunningService) -> Value {
    let outline = &service.outline;
    let routes = service.routes.iter().map(|route| {
        json!({
            "path": route.path,
            "hosts": route.hosts,
            "strip_prefix": route.strip_prefix,
            "middleware": route.middleware.as_deref().unwrap_or_else(|| service.middleware()),
        })
    });
    let directories = outline.directories.iter().map(|directory| {
        json!({
            "guest": directory.guest,
            "host": directory.host,
        })
    });
    let (world, instances) = match service.runner.component() {
        Some(component) => {
            let pool = component.pool_settings();
            let instances = json!({
                "max": pool.max_instances,
                "requests_at_once": pool.max_concurrent_per_instance,
                "requests_in_all": [
                    pool.max_requests_per_instance.start(),
                    pool.max_requests_per_instance.end(),
                ],
            });
            (service.world(), Some(instances))
        }
        None => (None, None),
    };
    // Names only: values may be secrets.
    let environment = outline.environment.iter().map(|(name, _)| name.as_str());
    let may_call = outline.grants.iter().map(ToString::to_string);
    let unverified = outline.unverified.iter().map(ToString::to_string);
    json!({
        "name": &*outline.name,
        "kind": service.spec.guest.kind(),
        "load": match service.is_lazy() {
            true => "lazy",
            false => "eager",
        },
        "world": world,
        "file": outline.file,
        "routes": routes.collect::<Value>(),
        "middleware": service.middleware(),
        "fail": service.fail(),
        "may_call": may_call.collect::<Value>(),
        "unverified": unverified.collect::<Value>(),
        "grants": service.grants(),
        "environment": environment.collect::<Value>(),
        "directories": directories.collect::<Value>(),
        "instances": instances,
    })
}

fn builtin_route(BuiltinRoute { route, middleware }: &BuiltinRoute) -> Value {
    let hosts = route.hosts.iter().map(ToString::to_string);
    json!({
        "path": &*route.pattern,
        "hosts": hosts.collect::<Value>(),
        "middleware": middleware,
    })
}
