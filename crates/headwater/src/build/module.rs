use anyhow::Result;
use headwater_capabilities::ContextAccess;
use headwater_config::RouteConfig;
use headwater_core::Limits;
use headwater_wagi::{ContextVariables, Mount, WagiModule, WagiSettings};

use crate::blocking;
use crate::build::guest_builder::GuestBuilder;
use crate::convert;
use crate::spec::service_spec::{ModuleOptions, ServiceSpec};

#[derive(Clone)]
pub(crate) struct MountedModule {
    pub(crate) module: WagiModule,
    /// The handlers of the service's routes, if it is from a modules.toml, where a module may name
    /// routes with entrypoints of their own. Otherwise empty: the module itself answers.
    pub(crate) mounts: Vec<Mount>,
}

/// Compiles and links a module, and adds the routes that it names.
pub(super) fn load(
    builder: &GuestBuilder,
    binary: &[u8],
    routes: &mut Vec<RouteConfig>,
) -> Result<MountedModule> {
    let GuestBuilder {
        spec,
        egress,
        forbidden_headers: _,
        engine,
        authority,
        keep_snapshots,
        metrics: _,
    } = builder;
    let settings = WagiSettings {
        keep_snapshots: *keep_snapshots,
        ..settings(spec, authority)
    };
    let module = WagiModule::load_with_egress(engine, binary, settings, Some(egress.clone()))?;
    let Some(route) = &spec.module.mount else {
        let mounts = Vec::new();
        return Ok(MountedModule { module, mounts });
    };
    // This runs the module.
    let mounts = blocking::block_on(module.mount(route))??;
    for mount in &mounts {
        if let Some(problem) = &mount.problem {
            tracing::error!(
                service = &*spec.outline.name,
                route = mount.pattern,
                "this route answers 500: {problem}"
            );
        }
    }
    let own = routes.pop();
    let hosts = own.map(|own| own.hosts).unwrap_or_default();
    routes.extend(mounts.iter().map(|mount| RouteConfig {
        hosts: hosts.clone(),
        ..RouteConfig::path(&mount.pattern)
    }));
    Ok(MountedModule { module, mounts })
}

fn settings(spec: &ServiceSpec, authority: &str) -> WagiSettings {
    let ModuleOptions {
        argv,
        entrypoint,
        compat,
        response,
        mount: _,
        default_host,
        http_max_concurrency,
        pass_authorization,
        log_dir,
        max_wall_time,
        max_output,
        max_response,
    } = spec.module.clone();
    let defaults = WagiSettings::new(&*spec.outline.name);
    let limits = convert::service::limits(&spec.settings.limits);
    let pool = convert::service::pool(&spec.settings);
    WagiSettings {
        environment: spec.outline.environment.clone(),
        context: context(spec),
        volumes: spec.outline.directories.clone(),
        default_host: default_host.unwrap_or_else(|| authority.to_owned()),
        limits: Limits {
            buffered_response: max_response.unwrap_or(limits.buffered_response),
            ..limits
        },
        max_instances: pool.max_instances,
        max_cpu_time: pool.max_cpu_time,
        argv,
        entrypoint: entrypoint.unwrap_or(defaults.entrypoint),
        compat,
        response: response.unwrap_or(compat.response()),
        http_max_concurrency,
        pass_authorization,
        log_dir,
        max_wall_time,
        max_output,
        keep_snapshots: defaults.keep_snapshots,
        name: defaults.name,
    }
}

/// Returns the variables that have values of the request's context.
fn context(spec: &ServiceSpec) -> ContextVariables {
    let grant = spec.outline.capabilities.of::<ContextAccess>();
    let Some(grant) = grant else {
        return ContextVariables::default();
    };
    let named = grant.variables.iter();
    ContextVariables {
        visible: grant.get.clone(),
        named: named
            .map(|(variable, name)| (variable.clone(), name.clone()))
            .collect(),
    }
}
