//! The running host, which can be replaced while it serves.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use headwater_runtime::{Engine, GuestThreads, Reclaim};
use headwater_server::{Certificates, Front, FrontParams, InternalFront, Router};
use parking_lot::Mutex;
use tokio_util::task::TaskTracker;

use crate::build::running_service::{RunningService, called};
use crate::build::services::SharedResources;
use crate::host::loader::Loader;
use crate::metrics::Reloads;
use crate::service_registry::ServiceRegistry;

pub(crate) struct BuildContext {
    pub(crate) engine: Engine,
    /// The address of the host, which modules get as theirs.
    pub(crate) authority: String,
    pub(crate) common: SharedResources,
    pub(crate) registry: ServiceRegistry,
    /// False if services that are to be loaded at their first request are loaded at once, too.
    pub(crate) lazily: bool,
}

pub(crate) struct BuiltHost {
    pub(crate) services: Vec<Arc<RunningService>>,
    pub(crate) router: Router,
    /// The fronts through which services reach each other.
    pub(crate) internal: Vec<Arc<InternalFront>>,
    /// The text to print when it listens.
    pub(crate) banner: Vec<String>,
    /// The files that it was built from.
    pub(crate) files: Vec<PathBuf>,
    /// Keys of the host's own settings whose values differ from those in force.
    pub(crate) needs_restart: Vec<String>,
}

/// The running host, which can be replaced.
pub(crate) struct RunningHost {
    front: Arc<Front>,
    loader: Loader,
    loading: BuildContext,
    /// The certificates of the listeners.
    certificates: Certificates,
    /// The time that replaced services have to finish their work.
    drain_timeout: Duration,
    /// The replaced services that finish their work.
    going: TaskTracker,
    /// Held during a reload, so that there is one at a time.
    reloading: tokio::sync::Mutex<()>,
    reloads: Reloads,
    now: Mutex<Generation>,
}

/// The changes of a reload: services, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// The number of unchanged services.
    pub(crate) stay: usize,
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Services with a new version.
    pub(crate) changed: Vec<String>,
    /// Those that go on, with other middlewares in front, or as a middleware with other settings of a link.
    pub(crate) chains: Vec<String>,
}

/// The facts about the running configuration.
#[derive(Clone)]
pub(crate) struct Generation {
    /// The number of loads: 1 at the start.
    pub(crate) number: u64,
    pub(crate) since: SystemTime,
    /// The error of the last reload, if it failed.
    pub(crate) refused: Option<String>,
    /// The changes of the last successful reload. At the start all services are new.
    pub(crate) changes: Changes,
    /// Keys of the host's own settings whose values differ from those in force.
    pub(crate) needs_restart: Vec<String>,
    files: Vec<PathBuf>,
    /// Kept alive here: services reach each other through it.
    _internal: Vec<Arc<InternalFront>>,
}

// === impl RunningHost ===

impl RunningHost {
    /// Loads for the first time. Returns an error if nothing can be served.
    pub(crate) async fn start(
        loader: Loader,
        loading: BuildContext,
        front: FrontParams,
        certificates: Certificates,
        drain_timeout: Duration,
    ) -> Result<(Arc<Self>, Vec<String>)> {
        let (loader, loading, hosted) = tokio::task::spawn_blocking(move || {
            let hosted = loader.load(&loading);
            (loader, loading, hosted)
        })
        .await
        .context("loading was interrupted")?;
        let BuiltHost {
            services,
            router,
            internal,
            banner,
            files,
            needs_restart,
        } = hosted?;
        loading.connect(&services, &internal)?;
        let changes = Changes::between(&[], &services);
        loading.registry.replace(services);
        let running = Self {
            front: Front::new(front, router),
            loader,
            loading,
            certificates,
            drain_timeout,
            going: TaskTracker::new(),
            reloading: tokio::sync::Mutex::default(),
            reloads: Reloads::default(),
            now: Mutex::new(Generation {
                number: 1,
                since: SystemTime::now(),
                refused: None,
                changes,
                needs_restart,
                files,
                _internal: internal,
            }),
        };
        running.reloads.started();
        Ok((Arc::new(running), banner))
    }

    pub(crate) fn threads(&self) -> &GuestThreads {
        self.loading.engine.threads()
    }

    pub(crate) fn reclaim(&self) -> &Reclaim {
        self.loading.engine.reclaim()
    }

    /// Reloads. New services take the requests from now on, replaced ones finish their requests,
    /// and services with an equal specification stay. A failed reload changes nothing and is
    /// logged. Certificates of listeners are read again, too. Returns the number of the generation.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<u64> {
        let _one_at_a_time = self.reloading.lock().await;
        let running = self.clone();
        let loaded = tokio::task::spawn_blocking(move || {
            let hosted = running.loader.load(&running.loading)?;
            let certificates = running.certificates.read();
            Ok((hosted, certificates.context("at a listener")?))
        });
        let loaded = loaded
            .await
            .context("loading was interrupted")
            .flatten()
            .and_then(|(hosted, certificates)| {
                let connected = self.loading.connect(&hosted.services, &hosted.internal);
                connected.map(|()| (hosted, certificates))
            });
        match loaded {
            Ok((hosted, certificates)) => {
                certificates.install();
                self.reloads.succeeded();
                let before = self.generation().needs_restart;
                self.install(hosted);
                let now = self.generation();
                // Warn once, not with each later reload.
                if now.needs_restart != before && !now.needs_restart.is_empty() {
                    tracing::warn!(
                        target: "headwater::reload",
                        keys = now.needs_restart.join(", "),
                        "changed settings need a restart and were ignored"
                    );
                }
                now.changes.tell(now.number);
                Ok(now.number)
            }
            Err(error) => {
                self.reloads.failed();
                let text = headwater_core::explain(error.as_ref());
                tracing::error!(
                    target: "headwater::reload",
                    "reload failed; the running configuration stays: {text}"
                );
                self.generation_mut(|now| now.refused = Some(text));
                Err(error)
            }
        }
    }

    fn install(&self, hosted: BuiltHost) {
        let BuiltHost {
            services,
            router,
            internal,
            banner: _,
            files,
            needs_restart,
        } = hosted;
        // Waiting for the last request of the old routes is done by service.
        drop(self.front.replace(router));
        let before = self.loading.registry.current();
        let changes = Changes::between(&before, &services);
        for gone in self.loading.registry.replace(services) {
            let (registry, patience) = (self.loading.registry.clone(), self.drain_timeout);
            self.going.spawn(finish(gone, registry, patience));
        }
        self.generation_mut(|now| {
            *now = Generation {
                number: now.number + 1,
                since: SystemTime::now(),
                refused: None,
                changes,
                needs_restart,
                files,
                _internal: internal,
            };
        });
    }

    pub(crate) fn front(&self) -> &Arc<Front> {
        &self.front
    }

    pub(crate) fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    pub(crate) fn registry(&self) -> &ServiceRegistry {
        &self.loading.registry
    }

    pub(crate) fn generation(&self) -> Generation {
        self.generation_mut(|now| now.clone())
    }

    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.generation_mut(|now| now.files.clone())
    }

    /// Waits until no guest has work, including those of replaced services.
    pub(crate) async fn idle(&self) {
        for service in self.registry().current() {
            service.runner.idle().await;
        }
        self.going.close();
        self.going.wait().await;
    }

    fn generation_mut<T>(&self, change: impl FnOnce(&mut Generation) -> T) -> T {
        // Nothing panics while the lock is held.
        change(&mut self.now.lock())
    }
}

/// Lets a replaced service finish its work.
async fn finish(service: Arc<RunningService>, registry: ServiceRegistry, patience: Duration) {
    service.runner.replaced();
    let idle = tokio::time::timeout(patience, service.runner.idle());
    if idle.await.is_err() {
        tracing::warn!(
            target: "headwater::reload",
            service = &**service.name(),
            "a replaced version still has work; its own timeouts end it"
        );
        service.runner.idle().await;
    }
    registry.ended(&service);
}

// === impl Changes ===

impl Changes {
    fn between(before: &[Arc<RunningService>], after: &[Arc<RunningService>]) -> Self {
        let mut changes = Self::default();
        let named = |services: &[Arc<RunningService>], name: &Arc<str>| {
            let mut services = services.iter();
            services.any(|service| service.name() == name)
        };
        for new in after {
            let name = new.name();
            if let Some(old) = before.iter().find(|old| new.is(old)) {
                changes.stay += 1;
                if !new.has_chains_of(old) {
                    changes.chains.push(name.to_string());
                }
            } else if named(before, name) {
                changes.changed.push(name.to_string());
            } else {
                changes.added.push(name.to_string());
            }
        }
        let gone = before.iter().filter(|old| !named(after, old.name()));
        changes.removed = gone.map(|old| old.name().to_string()).collect();
        changes
    }

    /// Logs the changes.
    fn tell(&self, generation: u64) {
        let Self {
            stay,
            added,
            removed,
            changed,
            chains,
        } = self;
        let names = |names: &Vec<String>| (!names.is_empty()).then(|| names.join(", "));
        tracing::info!(
            target: "headwater::reload",
            generation,
            stay,
            come = added.len() + changed.len(),
            added = names(added),
            removed = names(removed),
            changed = names(changed),
            chains = names(chains),
            "reloaded: new requests go to the new configuration"
        );
    }
}

// === impl BuildContext ===

impl BuildContext {
    /// Lets the services call each other.
    fn connect(
        &self,
        services: &[Arc<RunningService>],
        fronts: &[Arc<InternalFront>],
    ) -> Result<()> {
        let names = called(services).map(|service| &**service.name());
        self.common.internal.connect(names.zip(fronts))?;
        Ok(())
    }
}
