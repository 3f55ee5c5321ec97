//! From what a service is made of to what answers; what is made of the same stays.

use std::sync::Arc;

use anyhow::Result;
use headwater_core::LoopGuard;
use headwater_egress::{Egress, EgressParams, EgressShared, InternalServices, TlsRoots};
use headwater_runtime::capability::Grant;
use headwater_runtime::{ComponentService, ComponentSettings, OutgoingHttp};
use headwater_server::ServiceLimits;
use headwater_telemetry::Metrics;
use headwater_wagi::{Volume, WagiModule, WagiSettings};

use crate::build::running_service::{Runner, RunningService};
use crate::convert;
use crate::convert::outgoing;
use crate::diagnostics::{Diagnostic, Diagnostics, Kind, Position};
use crate::reload::BuildContext;
use crate::spec::prepared::{Parts, PreparedService};
use crate::spec::service_spec::{Guest, ServiceSpec, ServiceSummary};

/// What the services of a host have in common.
#[derive(Default)]
pub(crate) struct SharedResources {
    /// Shared, so that the machine's certificates are read once.
    pub(crate) tls_roots: TlsRoots,
    /// The bounds on what all of them send.
    pub(crate) shared: EgressShared,
    pub(crate) metrics: Metrics,
    pub(crate) access: headwater_telemetry::AccessLog,
    pub(crate) loops: LoopGuard,
    /// Each other.
    pub(crate) internal: InternalServices,
    /// Whether answers tell why requests failed.
    pub(crate) explain: bool,
}

/// Compiles and links all services, but for those that are there and made of the same: they stay, with
/// their instances, connections and circuits, wherever they answer from now on. Notes those that cannot be
/// loaded.
pub(crate) fn load(
    planned: Vec<PreparedService>,
    loading: &BuildContext,
    found: &mut Diagnostics,
) -> Vec<Arc<RunningService>> {
    let there = loading.registry.current();
    planned
        .into_iter()
        .filter_map(|service| {
            let is_same = |old: &&Arc<RunningService>| old.spec.as_deref() == Some(&service.spec);
            let loaded = match there.iter().find(is_same) {
                Some(old) => Some(stay(old, service)),
                None => found.keep(begin(service, loading)),
            };
            loaded.map(Arc::new)
        })
        .collect()
}

/// What is there, where it answers from now on.
fn stay(old: &RunningService, planned: PreparedService) -> RunningService {
    let PreparedService {
        routes,
        route_limits,
        ..
    } = planned;
    RunningService {
        outline: old.outline.clone(),
        timeout: old.timeout,
        spec: old.spec.clone(),
        runner: old.runner.clone(),
        egress: old.egress.clone(),
        // What was counted was counted against other limits.
        service_limits: match route_limits == old.route_limits {
            true => old.service_limits.clone(),
            false => ServiceLimits::new(&route_limits),
        },
        routes,
        route_limits,
    }
}

fn begin(planned: PreparedService, loading: &BuildContext) -> Result<RunningService, Diagnostic> {
    let PreparedService {
        spec,
        binary,
        parts,
        routes,
        route_limits,
        place,
        ..
    } = planned;
    let (runner, egress) = run(&spec, &binary, parts, loading).map_err(|error| {
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
        spec: Some(Arc::new(spec)),
        runner,
        egress,
        service_limits: ServiceLimits::new(&route_limits),
        routes,
        route_limits,
    })
}

fn run(
    spec: &ServiceSpec,
    binary: &[u8],
    parts: Parts,
    loading: &BuildContext,
) -> Result<(Runner, Egress)> {
    let ServiceSpec {
        outline,
        guest,
        settings,
        identities: _,
        headers: _,
        module,
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
            };
            let component = ComponentService::load(&loading.engine, binary, settings)?;
            Runner::Component(Arc::new(component))
        }
        Guest::Module(_) => {
            let defaults = WagiSettings::new(&**name);
            let settings = WagiSettings {
                environment: environment.clone(),
                volumes: directories
                    .iter()
                    .map(|directory| Volume {
                        guest: directory.guest.clone(),
                        host: directory.host.clone(),
                        read_only: false,
                    })
                    .collect(),
                default_host: loading.authority.clone(),
                limits,
                max_instances: pool.max_instances,
                max_cpu_time: pool.max_cpu_time,
                argv: module.argv.clone(),
                entrypoint: module.entrypoint.clone().unwrap_or(defaults.entrypoint),
                compat: module.compat,
                response: module.response.unwrap_or(module.compat.response()),
                ..WagiSettings::new(&**name)
            };
            let egress = Some(egress.clone());
            let module = WagiModule::load_with_egress(&loading.engine, binary, settings, egress)?;
            Runner::Module(Arc::new(module))
        }
    };
    Ok((runner, egress))
}
