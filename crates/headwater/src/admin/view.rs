//! The services and the requests in flight, as JSON.

use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use headwater_core::Counters;
use headwater_runtime::{CircuitState, ComponentService};
use headwater_server::InFlight;
use http::uri::Authority;
use serde_json::{Value, json};

use crate::build::lazy_guest::LoadState;
use crate::build::running_service::RunningService;
use crate::reload::RunningHost;

pub(super) fn services(running: &RunningHost) -> Value {
    let generation = running.generation();
    let current = running.registry().current();
    let (middlewares, services): (Vec<_>, Vec<_>) =
        current.iter().partition(|service| service.is_middleware());
    let describe = |services: Vec<&Arc<RunningService>>| -> Value {
        services.iter().map(|service| describe(service)).collect()
    };
    json!({
        "generation": generation.number,
        "loaded_at_unix": seconds(generation.since),
        "last_reload_error": generation.refused,
        "last_change": {
            "added": generation.changes.added,
            "removed": generation.changes.removed,
            "changed": generation.changes.changed,
            "chains": generation.changes.chains,
        },
        "needs_restart": generation.needs_restart,
        "services_that_finish": running.registry().going(),
        "requests_in_flight": running.front().in_flight(),
        "services": describe(services),
        "middlewares": describe(middlewares),
    })
}

/// Returns the requests in flight, the oldest first.
pub(super) fn requests(running: &RunningHost) -> Value {
    let mut requests = running.front().requests();
    requests.sort_by_key(|request| request.since);
    let now = Instant::now();
    requests
        .iter()
        .map(|request| in_flight(request, now))
        .collect()
}

fn in_flight(request: &InFlight, now: Instant) -> Value {
    let InFlight {
        scope,
        method,
        path,
        since,
        answered,
        ..
    } = request;
    let counters = scope.counters();
    json!({
        "request_id": scope.id().to_string(),
        "trace_id": scope.span().trace_id().to_string(),
        "service": &**scope.service(),
        "route": &**scope.route(),
        "instance": scope.instance(),
        "client": scope.client().map(|client| client.to_string()),
        "host": scope.host().map(Authority::as_str),
        "method": method.as_str(),
        "path": path,
        "age_ms": u64::try_from(now.saturating_duration_since(*since).as_millis()).unwrap_or(u64::MAX),
        "answered": answered,
        "request_bytes": Counters::get(&counters.request_bytes),
        "response_bytes": Counters::get(&counters.response_bytes),
        "outgoing_requests": Counters::get(&counters.outgoing),
        "outgoing_denied": Counters::get(&counters.outgoing_denied),
        "cpu_us": Counters::get(&counters.cpu_nanos) / 1_000,
    })
}

fn describe(service: &RunningService) -> Value {
    let outline = &service.outline;
    // Names only: values may be secrets.
    let environment: Vec<_> = outline.environment.iter().map(|(name, _)| name).collect();
    let grants: Vec<_> = outline.grants.iter().map(ToString::to_string).collect();
    let directories: Vec<_> = outline
        .directories
        .iter()
        .map(|directory| json!({ "host": directory.host, "guest": directory.guest }))
        .collect();
    let outgoing = service.egress.totals();
    let load = service.runner.load_state();
    let load_error = match &load {
        LoadState::Failed(failure) => Some(&failure.reason),
        _ => None,
    };
    json!({
        "name": &*outline.name,
        "routes": service.routes.iter().map(|route| &route.path).collect::<Vec<_>>(),
        "middleware": service.middleware(),
        "fail": service.fail(),
        "file": outline.file,
        "kind": service.spec.guest.kind(),
        "load": load.as_str(),
        "load_error": load_error,
        "may_call": grants,
        "grants": service.grants(),
        "environment": environment,
        "directories": directories,
        "pool": service.runner.component().map(|component| pool(service, component)),
        "outgoing": {
            "on_new_connections": outgoing.new,
            "on_reused_connections": outgoing.reused,
            "denied": outgoing.denied,
        },
    })
}

fn pool(service: &RunningService, component: &ComponentService) -> Value {
    let (view, totals) = (component.pool(), component.pool_totals());
    let instances: Vec<_> = component
        .instances()
        .iter()
        .map(|instance| {
            json!({
                "number": instance.number,
                "state": instance.state.as_str(),
                "in_flight": instance.in_flight,
                "held": instance.held,
                "remaining": instance.remaining,
                "age_ms": u64::try_from(instance.age.as_millis()).unwrap_or(u64::MAX),
            })
        })
        .collect();
    let doubts: serde_json::Map<_, _> = component
        .doubts()
        .iter()
        .map(|(doubt, calls)| (doubt.as_str().to_owned(), (*calls).into()))
        .collect();
    json!({
        "world": service.world(),
        "composed": component.is_composed(),
        "attribution_doubts": doubts,
        "circuit": match component.circuit() {
            CircuitState::Closed => "closed",
            CircuitState::Open => "open",
            CircuitState::Probing => "probing",
        },
        "requests": view.in_flight,
        "queued": view.queued,
        "started": totals.started,
        "failed": totals.failed,
        "instances": instances,
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
