use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use headwater_core::{Body, Handler, HandlerFuture, Limits, RequestScope};
use headwater_egress::Egress;
use http::Request;
use wasmtime::component::Component;
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};
use wasmtime_wasi_http::handler::{ProxyHandler, ProxyPre};
use wasmtime_wasi_http::{p2, p3};

use crate::attribution::Evidence;
use crate::dispatch::{Busy, Instances, Ticket, one_line};
use crate::engine::Engine;
use crate::output::GuestOutput;
use crate::world::{World, exports, is_composed};
use crate::{linker, response};

/// How a service's instances are reused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reuse {
    /// Requests that one instance serves in all before it is retired.
    pub max_requests_per_instance: usize,
    /// Requests that may be in one instance at once, unless its guest applies backpressure.
    pub max_concurrent_per_instance: usize,
    /// How long an instance is kept with nothing to do.
    pub idle_timeout: Duration,
    /// How long work may go on in an instance after its last response.
    pub post_return_timeout: Duration,
}

impl Reuse {
    /// The default for components of a world: 0.3 is reused by many requests at once; 0.2 gets a
    /// fresh instance for each request, which is what guests of that world were written for.
    #[must_use]
    pub fn of(world: World) -> Self {
        let (requests, concurrent) = match world {
            // Enough that starting an instance costs nothing per request, and few enough that a
            // guest that leaks is renewed in time.
            World::Service => (1_000, 16),
            World::Proxy => (1, 1),
        };
        Self {
            max_requests_per_instance: requests,
            max_concurrent_per_instance: concurrent,
            idle_timeout: Duration::from_secs(60),
            post_return_timeout: Duration::from_secs(30),
        }
    }
}

/// A directory that a guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directory {
    /// Where it is on the host.
    pub host: PathBuf,
    /// What the guest calls it.
    pub guest: String,
}

/// What a component is served with. The default grants nothing.
#[derive(Debug, Clone)]
pub struct ComponentSettings {
    /// The service's name.
    pub service: Arc<str>,
    /// Environment variables for the guest.
    pub environment: Vec<(String, String)>,
    /// Directories for the guest.
    pub directories: Vec<Directory>,
    /// Bounds on the guest.
    pub limits: Limits,
    /// Overrides of [`Reuse::of`] the component's world.
    pub max_requests_per_instance: Option<usize>,
    /// Likewise. Has no effect on 0.2 components, which cannot be entered by two requests at once.
    pub max_concurrent_per_instance: Option<usize>,
    /// Likewise.
    pub idle_timeout: Option<Duration>,
}

/// Why a component cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It does not compile.
    #[error("it is not a valid component: {0}; if the file was cut or damaged, build it again")]
    Invalid(String),
    /// It is a component of another world.
    #[error(
        "it exports no HTTP handler: `wasi:http/handler@0.3` (world `wasi:http/service`) or \
         `wasi:http/incoming-handler@0.2` (world `wasi:http/proxy`) was expected, and it exports \
         {0}"
    )]
    World(String),
    /// It imports what Headwater does not offer.
    #[error(
        "it imports something that Headwater does not offer: {0}; offered are WASI 0.2 and 0.3: \
         build it without that import, or compose it with a component that provides it"
    )]
    Import(String),
    /// A directory that was granted cannot be opened.
    #[error("cannot open the directory `{}` for the guest: {error}; check that it is there", path.display())]
    Directory {
        /// The directory on the host.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
}

/// What instances of a service are made by.
pub(crate) struct Blueprint {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) service: Arc<str>,
    pub(crate) egress: Egress,
    pub(crate) evidence: Evidence,
    pub(crate) reuse: Reuse,
    pub(crate) request_timeout: Duration,
    pub(crate) guest_memory: usize,
    environment: Vec<(String, String)>,
    directories: Vec<Directory>,
}

/// A component that is served.
pub struct ComponentService {
    handler: ProxyHandler<Instances>,
    world: World,
    composed: bool,
}

impl ComponentService {
    /// Compiles and links a component.
    ///
    /// # Errors
    ///
    /// When it is no valid component, is of another world, imports what is not offered, or a
    /// granted directory cannot be opened.
    pub fn load(
        engine: &Engine,
        binary: &[u8],
        egress: Egress,
        settings: ComponentSettings,
    ) -> Result<Self, LoadError> {
        let component = Component::new(engine.wasmtime(), binary)
            .map_err(|error| LoadError::Invalid(one_line(&error)))?;
        let world = World::of(&component).ok_or_else(|| {
            let exports = exports(&component);
            LoadError::World(if exports.is_empty() {
                "nothing".to_owned()
            } else {
                exports.join(", ")
            })
        })?;
        let composed = is_composed(binary);

        let unlinkable = |error: wasmtime::Error| LoadError::Import(one_line(&error));
        let pre = linker::linker(engine.wasmtime())
            .and_then(|linker| linker.instantiate_pre(&component))
            .map_err(unlinkable)?;
        let pre = match world {
            World::Service => p3::bindings::ServicePre::new(pre).map(ProxyPre::P3),
            World::Proxy => p2::bindings::ProxyPre::new(pre).map(ProxyPre::P2),
        }
        .map_err(unlinkable)?;

        for directory in &settings.directories {
            // Now, and not when the first request needs it.
            std::fs::read_dir(&directory.host).map_err(|error| LoadError::Directory {
                path: directory.host.clone(),
                error,
            })?;
        }

        let reuse = reuse(world, composed, &settings);
        let blueprint = Blueprint {
            engine: engine.wasmtime().clone(),
            service: settings.service,
            egress,
            evidence: evidence(world, composed, &reuse),
            reuse,
            request_timeout: settings.limits.request_timeout,
            guest_memory: settings.limits.guest_memory,
            environment: settings.environment,
            directories: settings.directories,
        };
        Ok(Self {
            handler: ProxyHandler::new(Instances {
                pre,
                blueprint,
                next_number: AtomicU64::new(1),
                busy: Busy::new(),
            }),
            world,
            composed,
        })
    }

    /// The world that the component is written for.
    #[must_use]
    pub fn world(&self) -> World {
        self.world
    }

    /// Whether the component was composed of several.
    #[must_use]
    pub fn is_composed(&self) -> bool {
        self.composed
    }

    /// Waits until no instance has anything to do: neither a request nor work that goes on after
    /// its response.
    pub async fn idle(&self) {
        self.handler.state().busy.none().await;
    }

    /// How its instances are reused.
    #[must_use]
    pub fn reuse(&self) -> &Reuse {
        &self.handler.state().blueprint.reuse
    }
}

fn reuse(world: World, composed: bool, settings: &ComponentSettings) -> Reuse {
    let mut reuse = Reuse::of(world);
    if composed {
        // The call stack is no evidence in a composed component; with an instance of its own, each
        // request's calls are attributed exactly all the same. An operator who prefers shared
        // instances says so, and gets `ambiguous`.
        reuse.max_requests_per_instance = 1;
    }
    if let Some(requests) = settings.max_requests_per_instance {
        reuse.max_requests_per_instance = requests;
    }
    if let Some(concurrent) = settings.max_concurrent_per_instance {
        reuse.max_concurrent_per_instance = concurrent;
    }
    if world == World::Proxy {
        reuse.max_concurrent_per_instance = 1;
    }
    if let Some(idle) = settings.idle_timeout {
        reuse.idle_timeout = idle;
    }
    reuse
}

fn evidence(world: World, composed: bool, reuse: &Reuse) -> Evidence {
    match world {
        World::Proxy => Evidence::Sole,
        World::Service if reuse.max_requests_per_instance == 1 => Evidence::Sole,
        World::Service if composed => Evidence::Unsound,
        World::Service => Evidence::Stack,
    }
}

impl Blueprint {
    /// A WASI context that grants what the operator granted, and nothing else: no arguments, no
    /// standard input, no sockets, no name look-ups.
    pub(crate) fn wasi(&self) -> wasmtime::Result<WasiCtx> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .envs(&self.environment)
            .stdout(GuestOutput::stdout(self.service.clone()))
            .stderr(GuestOutput::stderr(self.service.clone()));
        for directory in &self.directories {
            wasi.preopened_dir(&directory.host, &directory.guest, FsPerms::ReadWrite)?;
        }
        Ok(wasi.build())
    }
}

impl Handler for ComponentService {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        let handler = self.handler.clone();
        Box::pin(async move {
            let instance = Arc::new(OnceLock::new());
            let ticket = Ticket {
                scope,
                instance: instance.clone(),
            };
            let request = request.map(response::to_wasi);
            let answer = handler.handle(ticket, request).await;
            let instance = instance.get();
            match answer {
                Ok(answer) => Ok(answer.map(|body| response::from_wasi(body, instance.cloned()))),
                Err(error) => Err(response::fault(error, instance).await),
            }
        })
    }
}
