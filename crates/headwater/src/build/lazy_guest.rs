//! A guest that is loaded at its first request.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use headwater_core::{Body, Fault, Handler, HandlerFuture, RequestScope, explain};
use headwater_runtime::{Artifact, LoadError};
use http::Request;
use tokio::sync::{Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::build::guest_builder::GuestBuilder;
use crate::build::running_service::Runner;
use crate::spec::prepared::{Binary, BinarySource};

/// The time after which a request tries again to read a guest whose file could not be read.
/// A guest that cannot be compiled is not tried again: that would take long, and end the same.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// A guest that is loaded at its first request. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LazyGuest(Arc<State>);

/// Limits how many guests are loaded by requests at once, to the number of processors. Cheap to
/// clone; the clones share it.
#[derive(Clone)]
pub(crate) struct LoadPermits(Arc<Semaphore>);

/// The progress of loading a guest.
#[derive(Debug, Clone)]
pub(crate) enum LoadState {
    /// No request has needed the guest yet.
    NotLoaded,
    /// The first requests wait for it.
    Loading,
    Loaded,
    Failed(Arc<Failure>),
}

/// The reason why a guest could not be loaded.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) reason: String,
    cause: Cause,
    at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// Its file cannot be read, or has changed.
    File,
    Guest,
}

struct State {
    builder: GuestBuilder,
    source: BinarySource,
    permits: LoadPermits,
    state: watch::Sender<LoadState>,
    loaded: OnceLock<Runner>,
    /// True if another version gets the requests.
    replaced: AtomicBool,
    /// The load, and the requests that began before its end.
    waiting: TaskTracker,
}

// === impl LazyGuest ===

impl LazyGuest {
    /// Checks what can be checked without compiling the guest.
    pub(super) fn new(
        builder: GuestBuilder,
        source: BinarySource,
        permits: LoadPermits,
    ) -> Result<Self> {
        for directory in &builder.spec.outline.directories {
            std::fs::read_dir(&directory.host).map_err(|error| LoadError::Directory {
                path: directory.host.clone(),
                error,
            })?;
        }
        Ok(Self(Arc::new(State {
            builder,
            source,
            permits,
            state: watch::Sender::new(LoadState::NotLoaded),
            loaded: OnceLock::new(),
            replaced: AtomicBool::new(false),
            waiting: TaskTracker::new(),
        })))
    }

    pub(crate) fn state(&self) -> LoadState {
        self.0.state.borrow().clone()
    }

    /// Returns the guest, if it is loaded.
    pub(crate) fn loaded(&self) -> Option<&Runner> {
        self.0.loaded.get()
    }

    /// Marks the guest as replaced by another version.
    pub(crate) fn replaced(&self) {
        // Before the guest is looked for: one that is loaded meanwhile looks at the mark.
        self.0.replaced.store(true, Ordering::SeqCst);
        if let Some(loaded) = self.loaded() {
            loaded.replaced();
        }
    }

    /// Waits until no request waits for the guest, and the guest has no work.
    pub(crate) async fn idle(&self) {
        // A tracker that is closed still takes requests, and its wait can end.
        self.0.waiting.close();
        self.0.waiting.wait().await;
        if let Some(loaded) = self.loaded() {
            Box::pin(loaded.idle()).await;
        }
    }
}

impl Handler for LazyGuest {
    fn handle(&self, request: Request<Body>, scope: Arc<RequestScope>) -> HandlerFuture {
        if let Some(loaded) = self.loaded() {
            return loaded.handle(request, scope);
        }
        let state = self.0.clone();
        Box::pin(self.0.waiting.track_future(async move {
            let answer = state.load().await?.handle(request, scope);
            answer.await
        }))
    }
}

// === impl State ===

impl State {
    /// Returns the guest. The first request loads it, and others wait with it.
    async fn load(self: &Arc<Self>) -> Result<&Runner, Fault> {
        let mut state = self.state.subscribe();
        if self.begins() {
            // A task of its own: it goes on if the client leaves.
            self.waiting.spawn(self.clone().run());
        }
        let is_over = |state: &LoadState| !matches!(state, LoadState::Loading);
        let failure = match state.wait_for(is_over).await.as_deref() {
            Ok(LoadState::Failed(failure)) => Some(failure.clone()),
            // The sender lives as long as `self`.
            _ => None,
        };
        match (self.loaded.get(), failure) {
            (Some(loaded), _) => Ok(loaded),
            (None, Some(failure)) => Err(failure.fault()),
            (None, None) => Err(Fault::load()),
        }
    }

    /// Returns true if the caller is the one to load the guest.
    fn begins(&self) -> bool {
        self.state.send_if_modified(|state| {
            let begins = match state {
                LoadState::NotLoaded => true,
                LoadState::Failed(failure) => failure.may_pass(),
                LoadState::Loading | LoadState::Loaded => false,
            };
            if begins {
                *state = LoadState::Loading;
            }
            begins
        })
    }

    async fn run(self: Arc<Self>) {
        let service = self.builder.spec.outline.name.clone();
        // Nobody closes the semaphore.
        let _permit = self.permits.0.acquire().await;
        let began = Instant::now();
        let building = self.clone();
        let built = tokio::task::spawn_blocking(move || building.build()).await;
        let built = built.unwrap_or_else(|error| {
            let error = anyhow!(error).context("loading was interrupted");
            Err(Failure::new(Cause::Guest, &error))
        });
        let state = match built {
            Ok(runner) => {
                let loaded = self.loaded.get_or_init(|| runner);
                if self.replaced.load(Ordering::SeqCst) {
                    loaded.replaced();
                }
                tracing::info!(
                    service = &*service,
                    milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    "loaded at its first request"
                );
                LoadState::Loaded
            }
            Err(failure) => {
                tracing::error!(
                    service = &*service,
                    "cannot be loaded, and its requests are answered 500: {}",
                    failure.reason
                );
                LoadState::Failed(Arc::new(failure))
            }
        };
        self.state.send_replace(state);
    }

    fn build(&self) -> Result<Runner, Failure> {
        let binary = self.read();
        let binary = binary.map_err(|error| Failure::new(Cause::File, &error))?;
        let built = self.builder.build(&binary, &mut Vec::new());
        built.map_err(|error| {
            let file = self.builder.spec.outline.file.display();
            Failure::new(
                Cause::Guest,
                &error.context(format!("cannot serve `{file}`")),
            )
        })
    }

    /// Returns the binary of the specification. A file that has changed is not used: its content
    /// was never part of the running configuration, and may be half written.
    fn read(&self) -> Result<Vec<u8>> {
        let file = match &self.source {
            BinarySource::Memory(binary) => return Ok(binary.clone()),
            BinarySource::File(file) => file,
        };
        let shown = || format!("cannot serve `{}`", file.display());
        let artifact = Artifact::read(file).with_context(shown)?;
        let binary = match artifact {
            Artifact::Component(binary) => Some(Binary::Component(binary)),
            Artifact::Module(binary) => Some(Binary::Module(binary)),
            Artifact::Toml(_) => None,
        };
        let read = binary.map(Binary::into_parts);
        let read = read.filter(|(guest, _)| *guest == self.builder.spec.guest);
        ensure!(
            read.is_some(),
            "{}: it has changed since the configuration was loaded: reload",
            shown()
        );
        Ok(read.map(|(_, binary)| binary).unwrap_or_default())
    }
}

// === impl LoadPermits ===

impl Default for LoadPermits {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

// === impl LoadState ===

impl LoadState {
    pub(crate) const NAMES: [&str; 4] = ["not_loaded", "loading", "loaded", "failed"];

    pub(crate) const fn as_str(&self) -> &'static str {
        let [not_loaded, loading, loaded, failed] = Self::NAMES;
        match self {
            Self::NotLoaded => not_loaded,
            Self::Loading => loading,
            Self::Loaded => loaded,
            Self::Failed(_) => failed,
        }
    }
}

// === impl Failure ===

impl Failure {
    fn new(cause: Cause, error: &anyhow::Error) -> Self {
        Self {
            reason: explain(error.as_ref()),
            cause,
            at: Instant::now(),
        }
    }

    fn fault(&self) -> Fault {
        let fault = match self.cause {
            Cause::Guest => Fault::load(),
            Cause::File => Fault::host("guest_file"),
        };
        fault.caused_by(&*self.reason)
    }

    /// Returns true if it is time to try again.
    fn may_pass(&self) -> bool {
        self.cause == Cause::File && self.at.elapsed() >= READ_AGAIN
    }
}
