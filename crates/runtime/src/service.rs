use std::hash::{Hash, Hasher};
use std::sync::Arc;

use headwater_core::{Body, Doubt, Handler, HandlerFuture, Limits, RequestScope};
use headwater_telemetry::{AuditBound, LimitLog, Metrics};
use http::Request;
use wasmtime::component::Component;
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};

use crate::action::{ActionLink, ActionPre, ActionSettings, Hooks};
use crate::attribution::ledger::Listen;
use crate::attribution::wakes::{self, instrument};
use crate::attribution::{Evidence, Unattributed};
use crate::capability::{Grants, ServiceContext};
use crate::engine::Engine;
use crate::forbidden::ForbiddenHeaders;
use crate::guest_name::GuestName;
use crate::linker;
use crate::load_error::{LoadError, NoMiddleware};
use crate::missing_imports::MissingImports;
use crate::next_handler;
use crate::one_line::one_line;
use crate::open_files::ServiceFiles;
use crate::output::ServiceOutput;
use crate::pool::{
    AttributionMode, CircuitState, GuestPre, InstancePool, InstanceView, PoolOverrides,
    PoolSettings, PoolTotals, PoolView,
};
use crate::starling_monkey::is_starling_monkey;
use crate::store_factory::{Directory, StoreFactory};
use crate::world::{
    World, calls_synchronously, exports, imports_next, is_composed, release_candidate,
};

/// The settings of a component service.
#[derive(Debug, Clone)]
pub struct ComponentSettings {
    /// The name.
    pub service: Arc<str>,
    /// Environment variables for the guest.
    pub environment: Vec<(String, String)>,
    /// Directories for the guest.
    pub directories: Vec<Directory>,
    /// Limits on the guest.
    pub limits: Limits,
    /// Header fields that the guest may neither set nor see.
    pub forbidden_headers: ForbiddenHeaders,
    /// Overrides of the pool's defaults for the component's world.
    pub pool: PoolOverrides,
    /// The grants of the host's capabilities.
    pub grants: Grants,
    /// The metrics to record to. The default records nothing.
    pub metrics: Metrics,
    /// The place of the component: a service, or a middleware in front of services.
    pub role: Role,
    /// Settings for action components only.
    pub action: ActionSettings,
}

/// The place of a component.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Role {
    /// It answers requests.
    #[default]
    Service,
    /// It stands in front of services: it imports the handler behind it (`wasi:http/handler`), or is an
    /// action component.
    Middleware,
}

/// A component that is served.
pub struct ComponentService {
    pool: InstancePool,
    /// The link that it is, if it is an action component.
    action: Option<ActionLink>,
    /// Keeps the code for other services with the same guest.
    _component: Arc<Component>,
    world: World,
    composed: bool,
    unattributed: Arc<Unattributed>,
    warnings: Vec<&'static str>,
}

/// The result of instrumenting a component to report its tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hearing {
    /// Not needed.
    Nothing,
    Wakes,
    /// Needed, but not possible.
    Impossible,
}

/// The reason given for a component whose tasks can wake one another in a way that cannot be reported.
const UNHEARD: &str = "its tasks can wake one another in a way that Headwater cannot follow, so an instance \
                       has one request at a time: leave `attribution` at `serial`, or set it to `task` if \
                       each request's calls are made in its own task";

impl ComponentService {
    /// Compiles and links a component.
    ///
    /// # Errors
    ///
    /// Returns an error if it is not a valid component, has another world, imports interfaces that are
    /// not offered, or a granted directory cannot be opened.
    pub fn load(
        engine: &Engine,
        binary: &[u8],
        settings: ComponentSettings,
    ) -> Result<Self, LoadError> {
        let pool = settings.pool.apply(World::Service);
        let careful = pool.attribution == AttributionMode::Careful
            && evidence(World::Service, None, &pool) != Evidence::Sole;
        let (component, hearing) = compile(engine, binary, careful, &settings.service)?;
        let world = world(&component)?;
        let composed = is_composed(binary);
        let pre = link(&component, world, hearing, &settings.grants, settings.role)?;

        for directory in &settings.directories {
            // Fails now, and not when the first request needs it.
            std::fs::read_dir(&directory.host).map_err(|error| LoadError::Directory {
                path: directory.host.clone(),
                error,
            })?;
        }

        let resources = component.resources_required().ok_or_else(|| {
            // An instance would need them as arguments.
            LoadError::Import("core modules".to_owned())
        })?;
        let places = engine.join(settings.service.clone(), &resources, binary)?;

        let mut pool = settings.pool.apply(world);
        let mut warnings = warnings(world, &pool, binary);
        if hearing == Hearing::Impossible {
            pool.serial = true;
            pool.max_concurrent_per_instance = 1;
            warnings.push(UNHEARD);
        }
        for warning in &warnings {
            tracing::warn!(service = %settings.service, "{warning}");
        }
        let unattributed = Arc::new(Unattributed::new(
            settings.service.clone(),
            GuestName::of(binary),
        ));
        let limits = LimitLog::new(settings.service.clone());
        let context = ServiceContext {
            service: settings.service.clone(),
            metrics: settings.metrics.clone(),
        };
        let stores = StoreFactory {
            engine: component.engine().clone(),
            reclaim: engine.reclaim().clone(),
            output: ServiceOutput::new(settings.service.clone()),
            unattributed: unattributed.clone(),
            files: ServiceFiles::new(&settings.limits, limits.clone()),
            limits,
            metrics: settings.metrics.clone(),
            audit: AuditBound::new(settings.service.clone()),
            threads: engine.threads().service(),
            service: settings.service,
            capabilities: settings.grants.start(&context),
            forbidden_headers: settings.forbidden_headers.clone(),
            evidence: evidence(world, composed.then_some(binary), &pool),
            hears_wakes: hearing == Hearing::Wakes,
            request_timeout: settings.limits.request_timeout,
            guest_memory: settings.limits.guest_memory,
            max_outgoing: pool.max_outgoing_per_instance,
            max_cpu_time: pool.max_cpu_time,
            environment: settings.environment,
            directories: settings.directories,
        };
        // Services draw from separate random streams; the numbers are not secret.
        let mut hasher = std::hash::DefaultHasher::new();
        stores.service.hash(&mut hasher);
        let service = stores.service.clone();
        let pool = InstancePool::new(pre, stores, pool, places, settings.metrics, hasher.finish());
        let action = (world == World::Action).then(|| ActionLink {
            service,
            pool: pool.clone(),
            hooks: Hooks::of(&component),
            settings: settings.action,
            forbidden_headers: settings.forbidden_headers,
        });
        Ok(Self {
            pool,
            action,
            _component: component,
            world,
            composed,
            unattributed,
            warnings,
        })
    }

    /// Returns the component's world.
    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    /// Returns the hooks of an action component.
    #[must_use]
    pub fn hooks(&self) -> Option<Hooks> {
        self.action.as_ref().map(|action| action.hooks)
    }

    /// Returns true if the component was composed of several.
    #[must_use]
    pub fn is_composed(&self) -> bool {
        self.composed
    }

    /// Returns the number of outgoing requests that were not attributed so far, by doubt.
    #[must_use]
    pub fn doubts(&self) -> [(Doubt, u64); Doubt::ALL.len()] {
        self.unattributed.doubts()
    }

    /// Returns the warnings about its setup.
    #[must_use]
    pub fn warnings(&self) -> &[&'static str] {
        &self.warnings
    }

    /// Waits until no instance has requests, or work that continues after a response.
    pub async fn idle(&self) {
        self.pool.idle().await;
    }

    /// Marks the service as replaced by another version: its instances finish their work and end, also
    /// those that `min_idle` would keep.
    pub fn replaced(&self) {
        self.pool.replaced();
    }

    /// Returns the pool's settings.
    #[must_use]
    pub fn pool_settings(&self) -> &PoolSettings {
        self.pool.settings()
    }

    /// Returns the current state of its pool.
    #[must_use]
    pub fn pool(&self) -> PoolView {
        self.pool.view()
    }

    /// Returns its current instances, the oldest first.
    #[must_use]
    pub fn instances(&self) -> Vec<InstanceView> {
        self.pool.instances()
    }

    /// Returns the counters of its pool.
    #[must_use]
    pub fn pool_totals(&self) -> PoolTotals {
        self.pool.totals()
    }

    /// Returns the state of its circuit.
    #[must_use]
    pub fn circuit(&self) -> CircuitState {
        self.pool.circuit()
    }
}

/// Compiles a component. If attribution must be careful, first instruments a component whose tasks can
/// wake one another to report that.
fn compile(
    engine: &Engine,
    binary: &[u8],
    careful: bool,
    service: &str,
) -> Result<(Arc<Component>, Hearing), LoadError> {
    let wasmtime = engine.for_guest(binary)?;
    let compile = |binary: &[u8]| {
        let compiled = engine.compiler().component(wasmtime, binary, service);
        compiled.map_err(|error| LoadError::of_compilation(&error))
    };
    let telling = if careful {
        instrument::instrumented(binary).map_err(|unheard| unheard.to_string())
    } else {
        Ok(None)
    };
    let telling = telling.and_then(|telling| match telling {
        Some(telling) => compile(&telling)
            .map(Some)
            .map_err(|error| error.to_string()),
        None => Ok(None),
    });
    match telling {
        Ok(Some(component)) => Ok((component, Hearing::Wakes)),
        Ok(None) => Ok((compile(binary)?, Hearing::Nothing)),
        Err(reason) => {
            // Reports errors of the guest's own binary, not of the instrumented one.
            let component = compile(binary)?;
            tracing::debug!(reason, "the component cannot be made to tell of its tasks");
            Ok((component, Hearing::Impossible))
        }
    }
}

fn world(component: &Component) -> Result<World, LoadError> {
    if let Some(candidate) = release_candidate(component) {
        return Err(LoadError::ReleaseCandidate(candidate));
    }
    if let Some(world) = World::of(component) {
        return Ok(world);
    }
    let exports = exports(component);
    let run = exports
        .iter()
        .find(|name| name.starts_with("wasi:cli/run@"));
    Err(match run {
        Some(run) => LoadError::Command(run.clone()),
        None if exports.is_empty() => LoadError::World("nothing".to_owned()),
        None => LoadError::World(exports.join(", ")),
    })
}

/// Links a component with all of its imports, ready to be instantiated.
fn link(
    component: &Component,
    world: World,
    hearing: Hearing,
    grants: &Grants,
    role: Role,
) -> Result<GuestPre, LoadError> {
    let other_form = |error: wasmtime::Error| LoadError::Import(one_line(&error));
    let mut linker = linker::linker(component.engine(), grants).map_err(other_form)?;
    match (role, world) {
        (Role::Service, World::Action) => {
            return Err(LoadError::ActionService(Hooks::of(component)));
        }
        // The host calls what is behind it.
        (Role::Service, _) | (Role::Middleware, World::Action) => {}
        (Role::Middleware, _) => {
            check_middleware(component, world)?;
            next_handler::add_to_linker(&mut linker).map_err(other_form)?;
        }
    }
    if hearing == Hearing::Wakes {
        wakes::add_to_linker(&mut linker).map_err(other_form)?;
    }
    let pre = linker.instantiate_pre(component).map_err(|error| {
        let missing = MissingImports::of(component, &linker, grants);
        if missing.is_empty() {
            other_form(error)
        } else {
            LoadError::Missing(missing)
        }
    })?;
    let pre = match world {
        World::Service => p3::bindings::ServicePre::new(pre).map(ProxyPre::P3),
        World::Proxy => p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2),
        World::Action => return ActionPre::new(component, pre).map(GuestPre::Action),
    };
    pre.map(GuestPre::Http).map_err(other_form)
}

/// Checks that a component can stand in front of another.
fn check_middleware(component: &Component, world: World) -> Result<(), LoadError> {
    if world == World::Proxy {
        return Err(LoadError::NoMiddleware(NoMiddleware::Proxy));
    }
    match imports_next(component) {
        true => Ok(()),
        false => Err(LoadError::NoMiddleware(NoMiddleware::Service)),
    }
}

fn warnings(world: World, pool: &PoolSettings, binary: &[u8]) -> Vec<&'static str> {
    let mut warnings = Vec::new();
    let is_reused = *pool.max_requests_per_instance.end() > 1;
    if world != World::Service && is_reused && is_starling_monkey(binary) {
        warnings.push(
            "JavaScript of componentize-js (StarlingMonkey) fails from the second request of an instance \
             on: leave `max_requests_per_instance` at 1",
        );
    }
    warnings
}

fn evidence(world: World, composed: Option<&[u8]>, pool: &PoolSettings) -> Evidence {
    match (world, composed) {
        (World::Proxy | World::Action, _) => Evidence::Sole,
        (World::Service, _) if pool.serial || *pool.max_requests_per_instance.end() == 1 => {
            Evidence::Sole
        }
        (World::Service, None) => Evidence::Stack,
        (World::Service, Some(binary)) if calls_synchronously(binary) => {
            Evidence::Ledger(Listen::Everywhere)
        }
        (World::Service, Some(_)) => Evidence::Ledger(Listen::Entries),
    }
}

impl Handler for ComponentService {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        if let Some(action) = &self.action {
            return action.handle(request, scope);
        }
        let pool = self.pool.clone();
        Box::pin(async move { pool.answer(request, scope).await })
    }
}
