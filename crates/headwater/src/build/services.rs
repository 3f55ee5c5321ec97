//! Builds services from their specifications. Services with an unchanged specification stay.

use std::sync::Arc;

use anyhow::Result;
use headwater_config::RouteConfig;
use headwater_core::LoopGuard;
use headwater_egress::{Egress, EgressParams, EgressShared, InternalServices, TlsRoots};
use headwater_runtime::capability::Grant;
use headwater_runtime::{ComponentService, ComponentSettings, OutgoingHttp};
use headwater_server::ServiceLimits;
use headwater_telemetry::Metrics;

use crate::build::running_service::{Runner, RunningService};
use crate::convert;
use crate::convert::outgoing;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::reload::BuildContext;
use crate::spec::prepared::{Parts, PreparedService};
use crate::spec::service_spec::{Guest, ServiceSpec, ServiceSummary};

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
}

/// Compiles and links all services and middlewares, except those that run already with an equal specification.
/// Those stay, with their instances, connections and circuits, and get their new routes. Reports
/// services that cannot be loaded.
pub(crate) fn load(
    planned: Vec<PreparedService>,
    loading: &BuildContext,
    found: &mut Diagnostics,
) -> Vec<Arc<RunningService>> {
    let there = loading.registry.current();
    planned
        .into_iter()
        .filter_map(|service| {
            let is_same =
                |old: &&Arc<RunningService>| *old.spec == service.spec && !old.runner.is_broken();
            let loaded = match there.iter().find(is_same) {
                Some(old) => Some(stay(old, service)),
                None => found.keep(begin(service, loading)),
            };
            loaded.map(Arc::new)
        })
        .collect()
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

fn begin(planned: PreparedService, loading: &BuildContext) -> Result<RunningService, Diagnostic> {
    let PreparedService {
        spec,
        binary,
        parts,
        mut routes,
        route_limits,
        chain,
        place,
        ..
    } = planned;
    let running = run(&spec, &binary, parts, loading, &mut routes);
    let (runner, egress) = running.map_err(|error| {
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
        spec: Arc::new(spec),
        runner,
        egress,
        service_limits: ServiceLimits::new(&route_limits),
        routes,
        route_limits,
        chain,
    })
}

fn run(
    spec: &ServiceSpec,
    binary: &[u8],
    parts: Parts,
    loading: &BuildContext,
    routes: &mut Vec<RouteConfig>,
) -> Result<(Runner, Egress)> {
    let ServiceSpec {
        outline,
        guest,
        settings,
        identities: _,
        headers: _,
        module: _,
        role,
        found: _,
    } = spec;
    let ServiceSummary {
        name,
        file: _,
        grants,
        environment,
        directories,
        unverified: _,
        capabilities,
    } = &**outline;
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
    } = &loading.common;
    let outgoing::Settings {
        timeouts,
        limits: outgoing_limits,
        pool: connections,
        h2c,
    } = outgoing;
    let egress = Egress::new(EgressParams {
        grants: grants.clone(),
        grant_source,
        timeouts,
        limits: outgoing_limits,
        shared: shared.clone(),
        pool: connections,
        h2c,
        trace_headers: convert::service::trace_headers(&settings.trace_headers),
        tls_roots: tls_roots.clone(),
        tls: connecting.tls,
        proxy: connecting.proxy,
        metrics: metrics.clone(),
        internal: internal.clone(),
        loops: loops.clone(),
        ..EgressParams::new(name.clone())
    });
    let limits = convert::service::limits(&settings.limits);
    let pool = convert::service::pool(settings);
    let runner = match guest {
        Guest::Component(_) => {
            let mut grants = capabilities.clone();
            grants.set(Grant::new(OutgoingHttp, egress.clone().into()));
            let settings = ComponentSettings {
                service: name.clone(),
                environment: environment.clone(),
                directories: directories.clone(),
                limits,
                forbidden_headers,
                pool,
                grants,
                metrics: metrics.clone(),
                role: *role,
            };
            let component = ComponentService::load(&loading.engine, binary, settings)?;
            Runner::Component(Arc::new(component))
        }
        #[cfg(feature = "wagi")]
        Guest::Module(_) => {
            let module = super::module::load(spec, binary, egress.clone(), loading, routes)?;
            Runner::Module(module.into())
        }
        #[cfg(not(feature = "wagi"))]
        Guest::Module(_) => {
            let _unchanged = (binary, routes);
            anyhow::bail!(crate::WITHOUT_WAGI)
        }
    };
    Ok((runner, egress))
}
