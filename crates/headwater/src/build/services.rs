//! Builds services from their specifications. Services with an unchanged specification stay.

use std::sync::Arc;
use std::thread;

use headwater_capabilities::ContextAccess;
use headwater_chain::Middleware;
use headwater_config::settings::LoadTime;
use headwater_core::LoopGuard;
use headwater_egress::{Egress, EgressParams, EgressShared, InternalServices, TlsRoots};
use headwater_server::ServiceLimits;
use headwater_telemetry::Metrics;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::build::guest_builder::GuestBuilder;
use crate::build::lazy_guest::{LazyGuest, LoadPermits, LoadState};
use crate::build::running_service::{Runner, RunningService};
use crate::convert;
use crate::convert::outgoing;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::reload::BuildContext;
use crate::spec::prepared::{BinarySource, Parts, PreparedService};
use crate::spec::service_spec::ServiceSpec;

#[derive(Default)]
pub(crate) struct SharedResources {
    /// The trusted certificates, shared so that the machine's are read once.
    pub(crate) tls_roots: TlsRoots,
    /// The limits on the outgoing requests of all services together.
    pub(crate) shared: EgressShared,
    pub(crate) metrics: Metrics,
    pub(crate) access: headwater_telemetry::AccessLog,
    pub(crate) loops: LoopGuard,
    pub(crate) internal: InternalServices,
    /// True if answers say why requests failed.
    pub(crate) explain: bool,
    /// The limit on guests that requests load at once.
    pub(crate) load_permits: LoadPermits,
    /// True if what modules are given is kept for the admin listener.
    pub(crate) keep_snapshots: bool,
    /// The middlewares of the program that embeds the host.
    pub(crate) middlewares: Arc<[Middleware]>,
}

/// Builds all services and middlewares, except those that run already with an equal specification.
/// Those stay, with their instances, connections and circuits, and get their new routes. Reports
/// services that cannot be built.
pub(crate) fn load(
    planned: Vec<PreparedService>,
    loading: &BuildContext,
    found: &mut Diagnostics,
) -> Vec<Arc<RunningService>> {
    let there = loading.registry.current();
    let built = in_parallel(planned, |service| {
        let is_same =
            |old: &&Arc<RunningService>| *old.spec == service.spec && !old.runner.is_broken();
        match there.iter().find(is_same) {
            Some(old) => Ok(stay(old, service)),
            None => {
                let is_lazy = loading.lazily && is_lazy(&service.spec, &there);
                begin(service, loading, is_lazy)
            }
        }
    });
    let built = built.into_iter();
    built
        .filter_map(|service| found.keep(service).map(Arc::new))
        .collect()
}

/// Returns true if the guest is to be loaded at its first request. The new version of a guest that
/// is in use is not: no request should wait for it, and the old version stays if it is broken.
fn is_lazy(spec: &ServiceSpec, there: &[Arc<RunningService>]) -> bool {
    let is_in_use = |old: &Arc<RunningService>| {
        *old.name() == spec.outline.name && matches!(old.runner.load_state(), LoadState::Loaded)
    };
    // A module of a modules.toml may name further routes when it is loaded.
    spec.settings.load.load == Some(LoadTime::Lazy)
        && spec.module.mount.is_none()
        && !there.iter().any(is_in_use)
}

/// Calls a function for each item, on as many threads as there are processors. Returns the results
/// in the order of the items.
///
/// These are threads of its own, and not those of rayon, on which wasmtime compiles functions: one
/// that waits for its functions there would take up the next guest, and that may be the guest that
/// it is compiling.
fn in_parallel<T: Send, R: Send>(items: Vec<T>, each: impl Fn(T) -> R + Sync) -> Vec<R> {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(items.len());
    if threads <= 1 {
        return items.into_iter().map(each).collect();
    }
    let runtime = Handle::try_current().ok();
    let count = items.len();
    let items = Mutex::new(items.into_iter().enumerate());
    let results = Mutex::new(Vec::with_capacity(count));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let _within = runtime.as_ref().map(Handle::enter);
                loop {
                    let next = items.lock().next();
                    let Some((at, item)) = next else {
                        return;
                    };
                    let result = each(item);
                    results.lock().push((at, result));
                }
            });
        }
    });
    let mut results = results.into_inner();
    results.sort_unstable_by_key(|(at, _)| *at);
    results.into_iter().map(|(_, result)| result).collect()
}

fn stay(old: &RunningService, planned: PreparedService) -> RunningService {
    let PreparedService {
        mut routes,
        route_limits,
        chain,
        ..
    } = planned;
    // The route of a modules.toml is part of the specification, but the module may have named other
    // routes.
    if old.spec.module.mount.is_some() {
        routes = old.routes.clone();
    }
    RunningService {
        outline: old.outline.clone(),
        timeout: old.timeout,
        spec: old.spec.clone(),
        runner: old.runner.clone(),
        egress: old.egress.clone(),
        // Counts against other limits must not be carried over.
        service_limits: match route_limits == old.route_limits {
            true => old.service_limits.clone(),
            false => ServiceLimits::new(&route_limits),
        },
        routes,
        route_limits,
        chain,
    }
}

fn begin(
    planned: PreparedService,
    loading: &BuildContext,
    is_lazy: bool,
) -> Result<RunningService, Diagnostic> {
    let PreparedService {
        spec,
        binary,
        is_in_file,
        parts,
        mut routes,
        route_limits,
        chain,
        place,
        ..
    } = planned;
    let builder = builder(Arc::new(spec), parts, loading);
    let (spec, egress) = (builder.spec.clone(), builder.egress.clone());
    let runner = if is_lazy {
        let source = match is_in_file {
            true => BinarySource::File(spec.outline.file.clone()),
            false => BinarySource::Memory(binary),
        };
        let permits = loading.common.load_permits.clone();
        LazyGuest::new(builder, source, permits).map(Runner::Lazy)
    } else {
        builder.build(&binary, &mut routes)
    };
    let runner = runner.map_err(|error| {
        let (name, file) = (&spec.outline.name, spec.outline.file.display());
        let error = error.context(match place == Position::default() {
            true => format!("cannot serve `{file}` as `{name}`"),
            false => format!("cannot serve `{file}`"),
        });
        Diagnostic::of(Kind::Guest, place, &error)
    })?;
    Ok(RunningService {
        outline: spec.outline.clone(),
        timeout: convert::service::limits(&spec.settings.limits).request_timeout,
        spec,
        runner,
        egress,
        service_limits: ServiceLimits::new(&route_limits),
        routes,
        route_limits,
        chain,
    })
}

fn builder(spec: Arc<ServiceSpec>, parts: Parts, loading: &BuildContext) -> GuestBuilder {
    let Parts {
        connecting,
        outgoing,
        forbidden_headers,
        grant_source,
    } = parts;
    let SharedResources {
        tls_roots,
        shared,
        metrics,
        access: _,
        loops,
        internal,
        explain: _,
        load_permits: _,
        keep_snapshots: _,
        middlewares: _,
    } = &loading.common;
    let outgoing::Settings {
        timeouts,
        limits: outgoing_limits,
        pool: connections,
        h2c,
    } = outgoing;
    let context = spec.outline.capabilities.of::<ContextAccess>();
    let context_headers = context.map(|grant| grant.headers.clone());
    let egress = Egress::new(EgressParams {
        grants: spec.outline.grants.clone(),
        grant_source,
        timeouts,
        limits: outgoing_limits,
        shared: shared.clone(),
        pool: connections,
        h2c,
        trace_headers: convert::service::trace_headers(&spec.settings.trace_headers),
        context_headers: context_headers.unwrap_or_default(),
        tls_roots: tls_roots.clone(),
        tls: connecting.tls,
        proxy: connecting.proxy,
        metrics: metrics.clone(),
        internal: internal.clone(),
        loops: loops.clone(),
        ..EgressParams::new(spec.outline.name.clone())
    });
    GuestBuilder {
        spec,
        egress,
        forbidden_headers,
        engine: loading.engine.clone(),
        authority: loading.authority.clone(),
        keep_snapshots: loading.common.keep_snapshots,
        metrics: metrics.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_the_order_of_the_items_whichever_is_done_first() {
        for count in [0_usize, 1, 2, 1_000] {
            let results = in_parallel((0..count).collect(), |item| item * 2);
            let expected: Vec<_> = (0..count).map(|item| item * 2).collect();
            assert_eq!(results, expected);
        }
    }

    #[test]
    fn services_of_a_start_are_built_in_the_runtime_of_the_start() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _within = runtime.enter();
        let found = in_parallel(vec![(), ()], |()| Handle::try_current().is_ok());
        assert_eq!(found, [true, true]);
    }
}
