use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_config::settings::{
    AccessLogSettings, AccessTo, AdminSettings, ListenerSettings, ReloadSettings, ServerSettings,
};
use headwater_config::{File, Guest, ListenAddress, Place, SecretSource, Service, modules};
use headwater_core::{Handler, Limits, LoopGuard};
use headwater_egress::{
    Egress, EgressParams, EgressShared, Grants, GuestTraceparent, InternalServices, TlsRoots,
    TraceHeaders,
};
use headwater_runtime::{
    Artifact, ComponentService, ComponentSettings, Directory, ForbiddenHeaders, PoolOverrides,
};
use headwater_server::{HostPattern, InternalFront, Route, RouteLimits, Router};
use headwater_telemetry::Metrics;
use headwater_wagi::{Compat, ResponseMode, Volume, WagiModule, WagiSettings};
use http::HeaderName;

use crate::builtins::{self, Builtin};
use crate::cli::{LimitArgs, Serve};
use crate::connecting::Connecting;
use crate::front;
use crate::live::Loading;
use crate::outgoing;
use crate::serve::Usage;

/// What is known of a service from its settings, and told at start.
pub(crate) struct Outline {
    pub(crate) name: Arc<str>,
    pub(crate) routes: Vec<Place>,
    pub(crate) file: PathBuf,
    pub(crate) grants: Grants,
    pub(crate) connecting: Connecting,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) directories: Vec<Directory>,
}

/// What is to be served.
pub(crate) struct Plan {
    pub(crate) services: Vec<Planned>,
    pub(crate) builtins: Vec<Builtin>,
    /// What the file says of the host itself.
    pub(crate) host: HostSettings,
}

/// What the file says of the host itself: its sections.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct HostSettings {
    pub(crate) listeners: Vec<ListenerSettings>,
    pub(crate) server: ServerSettings,
    pub(crate) admin: Option<AdminSettings>,
    pub(crate) access_log: Option<AccessLogSettings>,
    pub(crate) reload: ReloadSettings,
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
    route_limits: RouteLimits,
    /// What it was read from beside its guest.
    others: Vec<PathBuf>,
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
    route_limits: RouteLimits,
}

/// What answers for a service.
pub(crate) enum Runner {
    Component(Arc<ComponentService>),
    Module(Arc<WagiModule>),
}

/// Reads what FILE is and says which services it makes.
pub(crate) fn plan(arguments: &Serve) -> Result<Plan> {
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
fn single(arguments: &Serve, guest: Binary) -> Result<Plan> {
    let name = arguments
        .file
        .file_stem()
        .map_or_else(|| "service".into(), |stem| stem.to_string_lossy());
    let service = Planned {
        outline: Outline {
            name: name.into(),
            routes: vec![Place {
                path: "/...".to_owned(),
                hosts: Vec::new(),
                strip_prefix: false,
            }],
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
        route_limits: RouteLimits::default(),
        others: Vec::new(),
    };
    Ok(Plan {
        services: vec![service],
        builtins: Vec::new(),
        host: HostSettings::default(),
    })
}

/// The services of a headwater.toml.
fn several(arguments: &Serve, text: &str) -> Result<Plan> {
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
    let services = file.service.iter().enumerate().map(|(index, service)| {
        from_file(service, base, arguments).with_context(|| {
            let place = file.place_of(index, "").unwrap_or_default();
            format!("in `{path}`, service `{}` ({place})", service.name)
        })
    });
    Ok(Plan {
        services: services.collect::<Result<_>>()?,
        builtins: builtins::of(&file, base).with_context(|| format!("in `{path}`"))?,
        host: HostSettings {
            listeners: listeners(file.listener, base),
            server: file.server,
            admin: file.admin,
            access_log: file.access_log.map(|log| access_log(log, base)),
            reload: file.reload,
        },
    })
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
            routes: service.route.all(),
            file,
            grants,
            connecting: arguments.connecting.of(service, base)?,
            environment: environment(service, base)?,
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
        route_limits: RouteLimits {
            max_in_flight: service.max_in_flight.map(|count| count.get()),
            rate: service.rate.map(front::rate),
            max_body: service.max_body.map(|size| size.bytes()),
        },
        others: service
            .secrets
            .values()
            .filter_map(SecretSource::file)
            .map(|file| base.join(file))
            .collect(),
    })
}

/// The listeners of a file in `base`, with their files where they are.
fn listeners(mut listeners: Vec<ListenerSettings>, base: &Path) -> Vec<ListenerSettings> {
    for listener in &mut listeners {
        if let ListenAddress::Unix(socket) = &mut listener.listen {
            *socket = base.join(&*socket);
        }
        let Some(tls) = &mut listener.tls else {
            continue;
        };
        for files in &mut tls.certificates {
            files.certificate = base.join(&files.certificate);
            files.key = base.join(&files.key);
        }
        if let Some(authorities) = &mut tls.client_ca {
            *authorities = base.join(&*authorities);
        }
    }
    listeners
}

/// The access log of a file in `base`, with its own file where it is.
fn access_log(mut log: AccessLogSettings, base: &Path) -> AccessLogSettings {
    if let Some(AccessTo::File(path)) = &mut log.to {
        *path = base.join(&*path);
    }
    log
}

/// The variables of the file, and the secrets that it says where to find.
fn environment(service: &Service, base: &Path) -> Result<Vec<(String, String)>> {
    let given = service.environment.clone().into_iter().map(Ok);
    let secret = service.secrets.iter().map(|(name, source)| {
        let secret = source.read(name, base)?;
        Ok((name.clone(), secret.reveal().to_owned()))
    });
    given.chain(secret).collect()
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
pub(crate) fn load(planned: Vec<Planned>, loading: &Loading) -> Result<Vec<Arc<Loaded>>> {
    planned
        .into_iter()
        .map(|service| {
            let (name, file) = (service.outline.name.clone(), service.outline.file.clone());
            load_one(service, loading)
                .map(Arc::new)
                .with_context(|| format!("cannot serve `{}` as `{name}`", file.display()))
        })
        .collect()
}

fn load_one(service: Planned, loading: &Loading) -> Result<Loaded> {
    let Loading {
        engine,
        authority,
        common,
        roster: _,
    } = loading;
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
        route_limits,
        others: _,
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
                default_host: authority.clone(),
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
        route_limits,
    })
}

/// Which path each service answers, and each of what is built in.
pub(crate) fn router(services: &[Arc<Loaded>], builtins: &[Builtin]) -> Result<Router> {
    let mut routes = Vec::new();
    for service in services {
        routes.extend(service.routes()?);
    }
    for builtin in builtins {
        routes.extend(builtin.routes.iter().cloned());
    }
    Ok(Router::new(routes)?)
}

/// By which the services reach each other.
pub(crate) fn fronts(
    services: &[Arc<Loaded>],
    common: &Common,
    router: &Router,
) -> Vec<Arc<InternalFront>> {
    let front = |service: &Arc<Loaded>| {
        let (metrics, loops) = (common.metrics.clone(), common.loops.clone());
        // Its pattern counts for nothing there.
        let front = InternalFront::new(service.route("/..."), metrics, loops);
        let front = front.with_access(common.access.clone());
        Arc::new(front.counted_with(router))
    };
    services.iter().map(front).collect()
}

// === impl Planned ===

impl Planned {
    /// What it is made of.
    pub(crate) fn files(&self) -> impl Iterator<Item = PathBuf> + '_ {
        std::iter::once(&self.outline.file)
            .chain(&self.others)
            .cloned()
    }
}

// === impl Loaded ===

impl Loaded {
    fn routes(&self) -> Result<Vec<Route>> {
        let places = self.outline.routes.iter().map(|place| {
            let mut route = self.route(&place.path);
            route.hosts =
                hosts(&place.hosts).with_context(|| format!("service `{}`", self.outline.name))?;
            route.strip_prefix = place.strip_prefix;
            Ok(route)
        });
        places.collect()
    }

    fn route(&self, pattern: &str) -> Route {
        let handler = match &self.runner {
            Runner::Component(component) => component.clone() as Arc<dyn Handler>,
            Runner::Module(module) => module.clone(),
        };
        let mut route = Route::new(pattern, self.outline.name.clone(), handler);
        route.timeout = self.timeout;
        route.limits = self.route_limits.clone();
        route
    }
}

/// The hosts that a route holds for.
pub(crate) fn hosts(hosts: &[String]) -> Result<Vec<HostPattern>> {
    let hosts = hosts.iter().map(|host| host.parse().context("in `hosts`"));
    hosts.collect()
}
