use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_config::{File, Guest, Service, modules};
use headwater_core::{Handler, Limits, LoopGuard};
use headwater_egress::{
    Egress, EgressParams, EgressShared, Grants, GuestTraceparent, InternalServices, TlsRoots,
    TraceHeaders,
};
use headwater_runtime::{
    Artifact, ComponentService, ComponentSettings, Directory, Engine, ForbiddenHeaders,
    PoolOverrides,
};
use headwater_server::{InternalFront, Route, Router};
use headwater_telemetry::Metrics;
use headwater_wagi::{Compat, ResponseMode, Volume, WagiModule, WagiSettings};
use http::HeaderName;

use crate::cli::{LimitArgs, Serve};
use crate::connecting::Connecting;
use crate::outgoing;
use crate::serve::Usage;

/// What is known of a service from its settings, and told at start.
pub(crate) struct Outline {
    pub(crate) name: Arc<str>,
    pub(crate) route: Arc<str>,
    pub(crate) file: PathBuf,
    pub(crate) grants: Grants,
    pub(crate) connecting: Connecting,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directories: Vec<Directory>,
}

/// A service whose settings are known and whose guest is read, but not compiled.
pub(crate) struct Planned {
    outline: Outline,
    limits: Limits,
    guest: Binary,
    pool: PoolOverrides,
    trace_headers: TraceHeaders,
    outgoing: outgoing::Settings,
    forbidden_headers: ForbiddenHeaders,
    module: ModuleOptions,
}

/// What is said of a WAGI module alone.
#[derive(Default)]
struct ModuleOptions {
    argv: Option<String>,
    entrypoint: Option<String>,
    compat: Compat,
    response: Option<ResponseMode>,
}

enum Binary {
    Component(Vec<u8>),
    Module(Vec<u8>),
}

/// A service that can answer.
pub(crate) struct Loaded {
    pub(crate) outline: Outline,
    pub(crate) runner: Runner,
    /// What it calls out by, if it can.
    pub(crate) egress: Egress,
    timeout: Duration,
}

/// What answers for a service.
pub(crate) enum Runner {
    Component(Arc<ComponentService>),
    Module(Arc<WagiModule>),
}

/// Reads what FILE is and says which services it makes.
pub(crate) fn plan(arguments: &Serve) -> Result<Vec<Planned>> {
    let path = &arguments.file;
    let artifact =
        Artifact::read(path).with_context(|| format!("cannot serve `{}`", path.display()))?;
    match artifact {
        Artifact::Component(binary) => single(arguments, Binary::Component(binary)),
        Artifact::Module(binary) => single(arguments, Binary::Module(binary)),
        Artifact::Toml(text) => several(arguments, &text),
    }
}

/// One guest for every path, with the grants of the command line.
fn single(arguments: &Serve, guest: Binary) -> Result<Vec<Planned>> {
    let name = arguments
        .file
        .file_stem()
        .map_or_else(|| "service".into(), |stem| stem.to_string_lossy());
    Ok(vec![Planned {
        outline: Outline {
            name: name.into(),
            route: "/...".into(),
            file: arguments.file.clone(),
            grants: arguments.grants.allow_outgoing.iter().cloned().collect(),
            connecting: arguments.connecting.single()?,
            environment: arguments.grants.environment.clone(),
            directories: arguments.grants.directories.clone(),
        },
        limits: limits(&arguments.limits, None, None),
        guest,
        pool: arguments.limits.pool(),
        trace_headers: arguments.traces.headers(),
        outgoing: arguments.outgoing.settings(),
        forbidden_headers: ForbiddenHeaders::with(
            &arguments.grants.forbid_header,
            &arguments.grants.allow_header,
        )
        .map_err(|error| Usage(format!("--allow-header: {error}")))?,
        module: ModuleOptions::default(),
    }])
}

/// The services of a headwater.toml.
fn several(arguments: &Serve, text: &str) -> Result<Vec<Planned>> {
    let path = arguments.file.display();
    let given = arguments.grants.first_given();
    if let Some(flag) = given.or_else(|| arguments.connecting.first_given()) {
        return Err(Usage(format!(
            "{flag} is for a single guest, and `{path}` names several services: write the grant \
             into the service that it is for"
        ))
        .into());
    }
    let file = File::parse(text).with_context(|| format!("cannot serve `{path}`"))?;
    let base = arguments.file.parent().unwrap_or(Path::new(""));
    file.service
        .iter()
        .map(|service| {
            from_file(service, base, arguments)
                .with_context(|| format!("in `{path}`, service `{}`", service.name))
        })
        .collect()
}

fn from_file(service: &Service, base: &Path, arguments: &Serve) -> Result<Planned> {
    let defaults = &arguments.limits;
    let (file, wants_component) = match service.guest() {
        Guest::Component(file) => (base.join(file), true),
        Guest::Module(file) => (base.join(file), false),
    };
    let artifact =
        Artifact::read(&file).with_context(|| format!("cannot serve `{}`", file.display()))?;
    let guest = match (artifact, wants_component) {
        (Artifact::Component(binary), true) => Binary::Component(binary),
        (Artifact::Module(binary), false) => Binary::Module(binary),
        (Artifact::Component(_), false) => anyhow::bail!(
            "`{}` is a component, not a core module: write `component = …`",
            file.display()
        ),
        (Artifact::Module(_), true) => anyhow::bail!(
            "`{}` is a core module, not a component: write `module = …`",
            file.display()
        ),
        (Artifact::Toml(_), _) => {
            anyhow::bail!("`{}` is text, not WebAssembly", file.display())
        }
    };
    let grants = Grants::parse(&service.allow_outgoing).context("in `allow_outgoing`")?;
    Ok(Planned {
        outline: Outline {
            name: service.name.as_str().into(),
            route: service.route.as_str().into(),
            file,
            grants,
            connecting: arguments.connecting.of(service, base)?,
            environment: service.environment.clone().into_iter().collect(),
            directories: service
                .directories
                .iter()
                .map(|(guest, host)| Directory {
                    host: base.join(host),
                    guest: guest.clone(),
                })
                .collect(),
        },
        limits: limits(defaults, service.timeout, service.memory),
        guest,
        pool: pool(service, defaults.pool()),
        trace_headers: trace_headers(service, arguments.traces.headers()),
        outgoing: arguments.outgoing.settings_of(&service.outgoing)?,
        forbidden_headers: forbidden_headers(service)?,
        module: module(service),
    })
}

/// What the file says of the header fields that are kept from a service.
fn forbidden_headers(service: &Service) -> Result<ForbiddenHeaders> {
    let names = |key: &'static str, names: &[String]| {
        let parsed = names.iter().map(|name| {
            let parsed = name.parse::<HeaderName>();
            parsed.with_context(|| format!("in `{key}`: `{name}` is no name of a header field"))
        });
        parsed.collect::<Result<Vec<_>>>()
    };
    let forbidden = names("forbid_headers", &service.forbid_headers)?;
    let allowed = names("allow_headers", &service.allow_headers)?;
    ForbiddenHeaders::with(&forbidden, &allowed).context("in `allow_headers`")
}

/// What the file says of a module alone.
fn module(service: &Service) -> ModuleOptions {
    ModuleOptions {
        argv: service.argv.clone(),
        entrypoint: service.entrypoint.clone(),
        compat: match service.compat {
            None | Some(modules::Compat::Default) => Compat::Default,
            Some(modules::Compat::Strict) => Compat::Strict,
            Some(modules::Compat::V0_2) => Compat::V0_2,
        },
        response: service.response.map(|response| match response {
            modules::Response::Buffer => ResponseMode::Buffer,
            modules::Response::Stream => ResponseMode::Stream,
        }),
    }
}

/// What the file says of a service's outgoing trace headers, and where it is silent, what the command
/// line says.
fn trace_headers(service: &Service, defaults: TraceHeaders) -> TraceHeaders {
    use headwater_config::GuestTraceparent as Said;
    TraceHeaders {
        traceparent: match service.guest_traceparent {
            Some(Said::Keep) => GuestTraceparent::Keep,
            Some(Said::Replace) => GuestTraceparent::Replace,
            Some(Said::Link) => GuestTraceparent::Link,
            None => defaults.traceparent,
        },
        request_id: service.forward_request_id.unwrap_or(defaults.request_id),
    }
}

/// What the file says of a service's pool, and where it is silent, what the command line says.
fn pool(service: &Service, defaults: PoolOverrides) -> PoolOverrides {
    PoolOverrides {
        max_instances: service.max_instances.or(defaults.max_instances),
        min_idle: service.min_idle.or(defaults.min_idle),
        max_requests_per_instance: service
            .max_requests_per_instance
            .clone()
            .or(defaults.max_requests_per_instance),
        max_concurrent_per_instance: service
            .max_concurrent_per_instance
            .or(defaults.max_concurrent_per_instance),
        serial: service.serial.or(defaults.serial),
        spread: defaults.spread,
        idle_timeout: service.idle_timeout.or(defaults.idle_timeout),
        post_return_timeout: service.post_return_timeout.or(defaults.post_return_timeout),
        max_queue: service.max_queue.or(defaults.max_queue),
        queue_timeout: service.queue_timeout.or(defaults.queue_timeout),
        max_outgoing_per_instance: service
            .max_outgoing_per_instance
            .or(defaults.max_outgoing_per_instance),
        max_cpu_time: service.max_cpu_time.or(defaults.max_cpu_time),
        retry: service.retry.or(defaults.retry),
    }
}

/// What a service says of its limits, and where it is silent, what the command line says.
fn limits(defaults: &LimitArgs, timeout: Option<Duration>, memory: Option<u64>) -> Limits {
    Limits {
        request_timeout: timeout.unwrap_or(defaults.timeout),
        guest_memory: usize::try_from(memory.unwrap_or(defaults.memory)).unwrap_or(usize::MAX),
        ..Limits::default()
    }
}

/// What the services of a host have in common.
#[derive(Default)]
pub(crate) struct Common {
    /// Shared, so that the machine's certificates are read once.
    pub(crate) tls_roots: TlsRoots,
    /// The bounds on what all of them send.
    pub(crate) shared: EgressShared,
    pub(crate) metrics: Metrics,
    pub(crate) access: headwater_telemetry::AccessLog,
    pub(crate) loops: LoopGuard,
    /// Each other.
    pub(crate) internal: InternalServices,
}

/// Compiles and links all services.
pub(crate) fn load(
    engine: &Engine,
    planned: Vec<Planned>,
    address: SocketAddr,
    common: &Common,
) -> Result<Vec<Loaded>> {
    planned
        .into_iter()
        .map(|service| {
            let (name, file) = (service.outline.name.clone(), service.outline.file.clone());
            load_one(engine, service, address, common)
                .with_context(|| format!("cannot serve `{}` as `{name}`", file.display()))
        })
        .collect()
}

fn load_one(
    engine: &Engine,
    service: Planned,
    address: SocketAddr,
    common: &Common,
) -> Result<Loaded> {
    let Common {
        tls_roots,
        shared,
        metrics,
        access: _,
        loops,
        internal,
    } = common;
    let Planned {
        outline,
        limits,
        guest,
        pool,
        trace_headers,
        outgoing,
        forbidden_headers,
        module,
    } = service;
    let timeout = limits.request_timeout;
    let outgoing::Settings {
        timeouts,
        limits: outgoing_limits,
        pool: connections,
        h2c,
    } = outgoing;
    let egress = Egress::new(EgressParams {
        grants: outline.grants.clone(),
        timeouts,
        limits: outgoing_limits,
        shared: shared.clone(),
        pool: connections,
        h2c,
        trace_headers,
        tls_roots: tls_roots.clone(),
        tls: outline.connecting.tls.clone(),
        proxy: outline.connecting.proxy.clone(),
        metrics: metrics.clone(),
        internal: internal.clone(),
        loops: loops.clone(),
        ..EgressParams::new(outline.name.clone())
    });
    let runner = match guest {
        Binary::Component(binary) => {
            let settings = ComponentSettings {
                service: outline.name.clone(),
                environment: outline.environment.clone(),
                directories: outline.directories.clone(),
                limits,
                forbidden_headers,
                pool,
                metrics: metrics.clone(),
            };
            let component = ComponentService::load(engine, &binary, egress.clone(), settings)?;
            Runner::Component(Arc::new(component))
        }
        Binary::Module(binary) => {
            let defaults = WagiSettings::new(&*outline.name);
            let settings = WagiSettings {
                environment: outline.environment.clone(),
                volumes: outline
                    .directories
                    .iter()
                    .map(|directory| Volume {
                        guest: directory.guest.clone(),
                        host: directory.host.clone(),
                        read_only: false,
                    })
                    .collect(),
                default_host: address.to_string(),
                limits,
                max_instances: pool.max_instances,
                max_cpu_time: pool.max_cpu_time,
                argv: module.argv,
                entrypoint: module.entrypoint.unwrap_or(defaults.entrypoint),
                compat: module.compat,
                response: module.response.unwrap_or(module.compat.response()),
                ..WagiSettings::new(&*outline.name)
            };
            let module = WagiModule::load_with_egress(
                engine.wasmtime(),
                engine.room(),
                &binary,
                settings,
                Some(egress.clone()),
            )?;
            Runner::Module(Arc::new(module))
        }
    };
    Ok(Loaded {
        outline,
        runner,
        egress,
        timeout,
    })
}

/// Which path each service answers.
pub(crate) fn router(services: &[Loaded]) -> Result<Router> {
    Ok(Router::new(services.iter().map(Loaded::route))?)
}

/// Lets the services call each other, for as long as what this gives is kept.
pub(crate) fn connect(services: &[Loaded], common: &Common) -> Result<Vec<Arc<InternalFront>>> {
    let fronts: Vec<_> = services
        .iter()
        .map(|service| {
            let (metrics, loops) = (common.metrics.clone(), common.loops.clone());
            let front = InternalFront::new(service.route(), metrics, loops);
            Arc::new(front.with_access(common.access.clone()))
        })
        .collect();
    let names = services.iter().map(|service| &*service.outline.name);
    common.internal.connect(names.zip(&fronts))?;
    Ok(fronts)
}

// === impl Loaded ===

impl Loaded {
    fn route(&self) -> Route {
        let handler = match &self.runner {
            Runner::Component(component) => component.clone() as Arc<dyn Handler>,
            Runner::Module(module) => module.clone(),
        };
        let (pattern, service) = (self.outline.route.clone(), self.outline.name.clone());
        let mut route = Route::new(pattern, service, handler);
        route.timeout = self.timeout;
        route
    }
}
