use std::fs;
use std::sync::Arc;
use std::time::Instant;

use headwater_core::{
    Body, Handler, HandlerFuture, RequestId, RequestScope, ScopeParts, SpanContext,
};
use headwater_egress::Egress;
use headwater_runtime::{
    Engine, InstanceThread, MemoryBudget, RequestStderr, ServiceFiles, ServiceOutput,
    ServicePlaces, ServiceThreads, component_core,
};
use headwater_telemetry::LimitLog;
use http::Request;
use tokio_util::task::TaskTracker;
use wasmtime::{ExternType, InstancePre, Module};

use crate::dynamic::has_routes;
use crate::error::WagiError;
use crate::experimental_http::{MOST_OPEN, Outgoing};
use crate::linker::{State, linker};
use crate::log_file::LogFolder;
use crate::places::ModuleInstances;
use crate::run::run;
use crate::settings::WagiSettings;
use crate::snapshot::{Snapshot, Snapshots};
use crate::stderr::Stderr;
use crate::unknown_imports::UnknownImports;
use crate::written_pages::WrittenPages;

/// The default limit on live instances of a module, the same as for a component, so that one
/// service cannot take all of the engine's places.
const INSTANCES: usize = 100;

/// A compiled, checked and linked module. It answers each request in a new instance.
#[derive(Clone)]
pub struct WagiModule(Arc<Prepared>);

/// The state that all requests of a module share.
#[derive(Clone)]
pub(crate) struct Prepared {
    pub(crate) service: Arc<str>,
    pub(crate) output: ServiceOutput,
    pub(crate) settings: WagiSettings,
    /// Keeps the code for other services with the same module.
    module: Arc<Module>,
    pub(crate) instance: InstancePre<State>,
    pub(crate) threads: ServiceThreads,
    /// The pages that the module writes when run by this entrypoint.
    pub(crate) written: Arc<WrittenPages>,
    pub(crate) limits: LimitLog,
    pub(crate) files: ServiceFiles,
    /// The places of the engine, which all services share.
    pub(crate) room: ServicePlaces,
    pub(crate) places: Arc<ModuleInstances>,
    /// Keeps the engine running for as long as the module exists, and reclaims the memory of its
    /// instances.
    pub(crate) engine: Engine,
    /// The requests that it answers, by all of its entrypoints.
    pub(crate) requests: TaskTracker,
    /// Shared by all of its entrypoints.
    pub(crate) snapshots: Arc<Snapshots>,
    egress: Option<Egress>,
    logs: Option<Arc<LogFolder>>,
}

impl WagiModule {
    /// Compiles a module (in binary or text form) and checks everything that can be checked before
    /// a request: its entrypoint, its imports, its memory, its volumes.
    ///
    /// Compiling a large module takes a while; call this where it may block the thread.
    ///
    /// # Errors
    ///
    /// Returns an error that says what is wrong with the module or its settings, and what to do.
    pub fn load(engine: &Engine, bytes: &[u8], settings: WagiSettings) -> Result<Self, WagiError> {
        Self::load_with_egress(engine, bytes, settings, None)
    }

    /// Like [`WagiModule::load`], for a module that may make outgoing requests by
    /// `wasi_experimental_http`. They are sent by this client, whose grants limit the destinations.
    /// Without a client each request is refused.
    ///
    /// # Errors
    ///
    /// Returns the errors of [`WagiModule::load`].
    pub fn load_with_egress(
        engine: &Engine,
        bytes: &[u8],
        settings: WagiSettings,
        egress: Option<Egress>,
    ) -> Result<Self, WagiError> {
        let service = || settings.name.clone();
        if is_component(bytes) {
            return Err(WagiError::Component { service: service() });
        }
        let wasmtime = engine.for_guest(bytes)?;
        let module = engine.compiler().module(wasmtime, bytes, &settings.name);
        let module = module.map_err(|error| WagiError::Compile {
            service: service(),
            source: error.into(),
        })?;
        // For the core of a component, the missing parts of a program are not the actual error.
        let or_core = |error| {
            let imports = module.imports().map(|import| import.module());
            match component_core(imports, module.exports().map(|export| export.name())) {
                Some(shown_by) => WagiError::ComponentCore {
                    service: service(),
                    shown_by,
                },
                None => error,
            }
        };
        // A module that names routes with their own entrypoints does not need one itself.
        if !has_routes(&module) {
            check_entrypoint(&module, &settings).map_err(or_core)?;
        }
        check_memory(&module, &settings)?;
        check_volumes(&settings)?;
        let link = |source: wasmtime::Error| WagiError::Link {
            service: service(),
            source: source.into(),
        };
        let linker = linker(module.engine(), &module).map_err(link)?;
        let instance = linker.instantiate_pre(&module).map_err(|error| {
            let imports = UnknownImports::of(&module, &linker);
            or_core(match imports.is_empty() {
                true => link(error),
                false => WagiError::UnknownImports {
                    service: service(),
                    imports,
                },
            })
        })?;
        let room = engine.join(service().into(), &module.resources_required(), bytes);
        let room = room.map_err(|source| WagiError::Places {
            service: service(),
            source,
        })?;
        let limits = LimitLog::new(settings.name.as_str().into());
        Ok(Self(Arc::new(Prepared {
            output: ServiceOutput::new(settings.name.as_str().into()),
            service: settings.name.as_str().into(),
            places: Arc::new(ModuleInstances::new(
                settings.max_instances.unwrap_or(INSTANCES),
            )),
            logs: settings
                .log_dir
                .clone()
                .map(|path| Arc::new(LogFolder::new(path))),
            files: ServiceFiles::new(&settings.limits, limits.clone()),
            limits,
            settings,
            module,
            instance,
            threads: engine.threads().service(),
            written: Arc::new(WrittenPages::of(bytes)),
            room,
            engine: engine.clone(),
            requests: TaskTracker::new(),
            snapshots: Arc::default(),
            egress,
        })))
    }

    /// Returns the same module, compiled once, with another entrypoint.
    ///
    /// # Errors
    ///
    /// Returns an error if the module does not export it as a function of type `() -> ()`.
    pub fn with_entrypoint(&self, entrypoint: &str) -> Result<Self, WagiError> {
        let mut prepared = (*self.0).clone();
        entrypoint.clone_into(&mut prepared.settings.entrypoint);
        check_entrypoint(self.core(), &prepared.settings)?;
        prepared.written = Arc::new(self.0.written.unlearnt());
        Ok(Self(Arc::new(prepared)))
    }

    /// Lists the module's imports: the module that each is imported from, and its name there.
    pub fn imports(&self) -> impl Iterator<Item = (&str, &str)> {
        self.core()
            .imports()
            .map(|import| (import.module(), import.name()))
    }

    /// Returns what the module was given for a request, if that is one of the last 100 and
    /// [`keep_snapshots`](WagiSettings::keep_snapshots) is set.
    #[must_use]
    pub fn snapshot(&self, request: RequestId) -> Option<Snapshot> {
        self.0.snapshots.find(request)
    }

    /// Waits until it answers no request.
    pub async fn idle(&self) {
        // A tracker that is closed still takes requests, and its wait can end.
        self.0.requests.close();
        self.0.requests.wait().await;
    }

    pub(crate) fn core(&self) -> &Module {
        &self.0.module
    }

    pub(crate) fn prepared(&self) -> &Arc<Prepared> {
        &self.0
    }

    /// Returns the service's settings.
    #[must_use]
    pub fn settings(&self) -> &WagiSettings {
        &self.0.settings
    }
}

impl Prepared {
    pub(crate) fn stderr(&self, scope: &Arc<RequestScope>) -> Stderr {
        let lines = RequestStderr::new(&self.output, Arc::clone(scope));
        let file = self.logs.as_ref().map(|logs| logs.file(scope.route()));
        Stderr::new(lines, file)
    }

    pub(crate) fn memory(&self, thread: &InstanceThread) -> MemoryBudget {
        let most = self.settings.limits.guest_memory;
        MemoryBudget::new(most, thread.clone(), self.limits.clone())
    }

    /// Returns the outgoing requests outside of any request: none is allowed.
    pub(crate) fn outgoing_of_nobody(&self) -> Outgoing {
        let nobody = RequestScope::new(ScopeParts {
            id: RequestId::new(),
            parent: None,
            span: SpanContext::empty_context(),
            service: self.service.clone(),
            route: "".into(),
            host: None,
            client: None,
            started: Instant::now(),
            deadline: None,
        });
        Outgoing::new(None, nobody, 0, self.limits.clone())
    }

    pub(crate) fn outgoing(&self, scope: &Arc<RequestScope>) -> Outgoing {
        let most = match self.settings.http_max_concurrency {
            None | Some(0) => MOST_OPEN,
            Some(most) => MOST_OPEN.min(most as usize),
        };
        Outgoing::new(
            self.egress.clone(),
            Arc::clone(scope),
            most,
            self.limits.clone(),
        )
    }
}

impl Handler for WagiModule {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        let module = Arc::clone(&self.0);
        let answer = self.0.requests.track_future(run(module, request, scope));
        Box::pin(answer)
    }
}

impl std::fmt::Debug for WagiModule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("WagiModule").field(&self.0.service).finish()
    }
}

/// Returns true if the preamble is a component's: it has its own version, and the layer 1.
fn is_component(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\0asm") && bytes.get(6..8) == Some(&[1, 0])
}

fn check_entrypoint(module: &Module, settings: &WagiSettings) -> Result<(), WagiError> {
    let (service, entrypoint) = (settings.name.clone(), settings.entrypoint.clone());
    let found = match module.get_export(&entrypoint) {
        Some(ExternType::Func(function)) => {
            if function.params().len() == 0 && function.results().len() == 0 {
                return Ok(());
            }
            format!("of type {function}")
        }
        Some(ExternType::Global(_)) => "a global".to_owned(),
        Some(ExternType::Memory(_)) => "a memory".to_owned(),
        Some(ExternType::Table(_)) => "a table".to_owned(),
        Some(_) => "not a function".to_owned(),
        None => {
            let exports: Vec<_> = module
                .exports()
                .filter(|export| export.ty().func().is_some())
                .map(|export| format!("`{}`", export.name()))
                .collect();
            return Err(WagiError::NoEntrypoint {
                service,
                entrypoint,
                exports: match exports.is_empty() {
                    true => "none".to_owned(),
                    false => exports.join(", "),
                },
            });
        }
    };
    Err(WagiError::EntrypointType {
        service,
        entrypoint,
        found,
    })
}

fn check_memory(module: &Module, settings: &WagiSettings) -> Result<(), WagiError> {
    let needed = module
        .exports()
        .filter_map(|export| export.ty().memory().cloned())
        .map(|memory| memory.minimum().saturating_mul(memory.page_size()))
        .max()
        .unwrap_or(0);
    let limit = settings.limits.guest_memory;
    if usize::try_from(needed).is_ok_and(|needed| needed <= limit) {
        return Ok(());
    }
    Err(WagiError::Memory {
        service: settings.name.clone(),
        needed,
        limit,
    })
}

/// Checks the volumes. WAGI omitted those that it could not open, which shifted descriptors.
fn check_volumes(settings: &WagiSettings) -> Result<(), WagiError> {
    for volume in &settings.volumes {
        fs::read_dir(&volume.host).map_err(|source| WagiError::Volume {
            service: settings.name.clone(),
            guest: volume.guest.clone(),
            host: volume.host.clone(),
            source,
        })?;
    }
    Ok(())
}
