use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use headwater_config::settings::{
    AccessLogSettings, AdminSettings, ListenerSettings, ReloadSettings, ServerSettings,
    ServiceSettings, TelemetrySettings,
};
use headwater_config::{File, Guest, Place, SecretSource, Service, modules};
use headwater_core::{Handler, LoopGuard};
use headwater_egress::{
    ClientIdentity, Egress, EgressParams, EgressShared, Grants, HostPattern as UpstreamPattern,
    InternalServices, TlsRoots,
};
use headwater_runtime::{
    Artifact, ComponentService, ComponentSettings, Directory, ForbiddenHeaders,
};
use headwater_server::{HostPattern, InternalFront, Route, RouteLimits, Router};
use headwater_telemetry::Metrics;
use headwater_wagi::{Compat, ResponseMode, Volume, WagiModule, WagiSettings};
use http::HeaderName;

use crate::builtins::{self, Builtin};
use crate::cli::Serve;
use crate::connecting::{self, Connecting, parse_unverified};
use crate::front;
use crate::live::Loading;
use crate::meaning;
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
    pub(crate) telemetry: TelemetrySettings,
}

/// A service whose settings are known and whose guest is read, but not compiled.
pub(crate) struct Planned {
    outline: Outline,
    guest: Binary,
    settings: ServiceSettings,
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
    check_flags(&arguments.services)?;
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
    let settings = arguments.services.clone();
    let grants = &arguments.grants;
    let connecting = &settings.connecting;
    if connecting.no_proxy.is_some() && connecting.proxy.is_none() {
        let advice = "--no-proxy is for what is not reached by the proxy: name one by --proxy";
        return Err(Usage(advice.to_owned()).into());
    }
    let connecting = Connecting::of(
        connecting,
        grants.client_cert.clone(),
        grants.danger_no_verify.clone(),
    )?;
    let service = Planned {
        outline: Outline {
            name: name.into(),
            routes: vec![Place {
                path: "/...".to_owned(),
                hosts: Vec::new(),
                strip_prefix: false,
            }],
            file: arguments.file.clone(),
            grants: grants.allow_outgoing.iter().cloned().collect(),
            connecting,
            environment: grants.environment.clone(),
            directories: grants.directories.clone(),
        },
        guest,
        outgoing: outgoing::Settings::of(&settings.outgoing)?,
        settings,
        forbidden_headers: ForbiddenHeaders::with(&grants.forbid_header, &grants.allow_header)
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
    if let Some(flag) = arguments.grants.first_given() {
        return Err(Usage(format!(
            "{flag} is for a single guest, and `{path}` names several services: write the grant \
             into the service that it is for"
        ))
        .into());
    }
    let file = File::parse(text).with_context(|| format!("cannot serve `{path}`"))?;
    let file = file.within(arguments.file.parent().unwrap_or(Path::new("")));
    check_sections(&file).with_context(|| format!("in `{path}`"))?;
    let defaults = arguments.services.clone().or(file.defaults.clone());
    let services = file.service.iter().enumerate().map(|(index, service)| {
        from_file(service, &defaults).with_context(|| {
            let place = file.place_of(index, "").unwrap_or_default();
            format!("in `{path}`, service `{}` ({place})", service.name)
        })
    });
    Ok(Plan {
        services: services.collect::<Result<_>>()?,
        builtins: builtins::of(&file).with_context(|| format!("in `{path}`"))?,
        host: HostSettings {
            listeners: file.listener,
            server: file.server,
            admin: file.admin,
            access_log: file.access_log,
            reload: file.reload,
            telemetry: file.telemetry,
        },
    })
}

/// What flags and variables say of all services makes sense by itself.
fn check_flags(said: &ServiceSettings) -> Result<()> {
    let usage = |flag: &str, error: anyhow::Error| Usage(format!("{flag}: {error:#}"));
    if said.pool.check().is_err() {
        let advice = "--serial is one request at a time; leave --max-concurrent-per-instance out";
        return Err(Usage(advice.to_owned()).into());
    }
    outgoing::h2c(&said.outgoing).map_err(|error| usage("--h2c", error))?;
    connecting::proxy(&said.connecting).map_err(|error| usage("--proxy", error))?;
    Ok(())
}

/// What the sections of a file say makes sense by itself, whether a service needs it or not.
fn check_sections(file: &File) -> Result<()> {
    let place = |section: &str, key: &str| {
        let place = file.place_in_section(section, key).unwrap_or_default();
        format!("in `[{section}]` ({place})")
    };
    let defaults = &file.defaults;
    connecting::proxy(&defaults.connecting).with_context(|| place("defaults", "proxy"))?;
    outgoing::h2c(&defaults.outgoing).with_context(|| place("defaults", "outgoing.h2c"))?;
    Connecting::of(&defaults.connecting, Vec::new(), Vec::new())
        .with_context(|| place("defaults", "ca"))?;
    front::log(file.telemetry.log.clone(), None)
        .check()
        .with_context(|| place("telemetry", "log"))?;
    Ok(())
}

fn from_file(service: &Service, defaults: &ServiceSettings) -> Result<Planned> {
    let settings = service.settings.clone().or_defaults(defaults.clone());
    let (file, wants_component) = match service.guest() {
        Guest::Component(file) => (file, true),
        Guest::Module(file) => (file, false),
    };
    let artifact =
        Artifact::read(file).with_context(|| format!("cannot serve `{}`", file.display()))?;
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
    let (identities, unverified) = (identities(service)?, unverified(service)?);
    Ok(Planned {
        outline: Outline {
            name: service.name.as_str().into(),
            routes: service.route.all(),
            file: file.to_owned(),
            grants,
            connecting: Connecting::of(&settings.connecting, identities, unverified)?,
            environment: environment(service)?,
            directories: service
                .directories
                .iter()
                .map(|(guest, host)| Directory {
                    host: host.clone(),
                    guest: guest.clone(),
                })
                .collect(),
        },
        guest,
        outgoing: outgoing::Settings::of(&settings.outgoing)?,
        settings,
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
            .map(Path::to_owned)
            .collect(),
    })
}

/// The variables of the file, and the secrets that it says where to find.
fn environment(service: &Service) -> Result<Vec<(String, String)>> {
    let given = service.environment.clone().into_iter().map(Ok);
    let secret = service.secrets.iter().map(|(name, source)| {
        let secret = source.read(name)?;
        Ok((name.clone(), secret.reveal().to_owned()))
    });
    given.chain(secret).collect()
}

/// The certificates that a service shows.
fn identities(service: &Service) -> Result<Vec<ClientIdentity>> {
    let identities = service.client_certificates.iter().map(|identity| {
        Ok(ClientIdentity {
            hosts: identity.host.parse().context("in `client_certificates`")?,
            certificate: identity.certificate.clone(),
            key: identity.key.clone(),
        })
    });
    identities.collect()
}

/// The hosts whose certificates are not verified.
fn unverified(service: &Service) -> Result<Vec<UpstreamPattern>> {
    let hosts = service.danger_no_verify.iter();
    let hosts = hosts.map(|host| parse_unverified(host).map_err(anyhow::Error::msg));
    hosts
        .collect::<Result<_>>()
        .context("in `danger_no_verify`")
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
        guest,
        settings,
        outgoing,
        forbidden_headers,
        module,
        route_limits,
        others: _,
    } = service;
    let limits = meaning::limits(&settings.limits);
    let timeout = limits.request_timeout;
    let pool = meaning::pool(&settings);
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
        trace_headers: meaning::trace_headers(&settings.trace_headers),
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

    /// Whether anybody says how it reaches upstreams.
    pub(crate) fn says_proxy(&self) -> bool {
        self.settings.connecting.proxy.is_some()
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
