//! What is served, from the first load to the last: it can be replaced while it is served.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use headwater_runtime::{Engine, Reclaim};
use headwater_server::{Certificates, Front, FrontParams, InternalFront, Router};
use tokio_util::task::TaskTracker;

use crate::build::running_service::RunningService;
use crate::build::services::SharedResources;
use crate::host::loader::Loader;
use crate::metrics::Reloads;
use crate::service_registry::ServiceRegistry;

/// What loading needs.
pub(crate) struct BuildContext {
    pub(crate) engine: Engine,
    /// Where the host is reached, for modules that are told of it.
    pub(crate) authority: String,
    pub(crate) common: SharedResources,
    /// The services that are there, and those that were.
    pub(crate) registry: ServiceRegistry,
}

/// What is served.
pub(crate) struct BuiltHost {
    pub(crate) services: Vec<Arc<RunningService>>,
    pub(crate) router: Router,
    /// By which services reach each other.
    pub(crate) internal: Vec<Arc<InternalFront>>,
    /// Printed when it listens.
    pub(crate) banner: Vec<String>,
    /// What it was made of.
    pub(crate) files: Vec<PathBuf>,
    /// Keys of the host's own settings that say something else than what is in force.
    pub(crate) needs_restart: Vec<String>,
}

/// What is served, and how it is replaced.
pub(crate) struct RunningHost {
    front: Arc<Front>,
    loader: Loader,
    loading: BuildContext,
    /// Of the listeners.
    certificates: Certificates,
    /// How long services that are replaced may work on what they have.
    drain_timeout: Duration,
    /// Those that do.
    going: TaskTracker,
    /// One at a time.
    reloading: tokio::sync::Mutex<()>,
    /// How reloads ended.
    reloads: Reloads,
    now: Mutex<Generation>,
}

/// What a reload has changed: services, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// How many are what they were.
    pub(crate) stay: usize,
    pub(crate) added: Vec<String>,
    pub(crate) removed: Vec<String>,
    /// Those that were made anew.
    pub(crate) changed: Vec<String>,
}

/// What is known of what is served now.
#[derive(Clone)]
pub(crate) struct Generation {
    /// How often it was loaded: 1 at the start.
    pub(crate) number: u64,
    pub(crate) since: SystemTime,
    /// Why the last reload changed nothing, if it did not.
    pub(crate) refused: Option<String>,
    /// What the last reload that was not refused has changed. At the start all is new.
    pub(crate) changes: Changes,
    /// Keys of the host's own settings that say something else than what is in force.
    pub(crate) needs_restart: Vec<String>,
    files: Vec<PathBuf>,
    /// Held: services reach each other by it.
    _internal: Vec<Arc<InternalFront>>,
}

// === impl RunningHost ===

impl RunningHost {
    /// Loads for the first time. Gives what is to be said of it.
    ///
    /// # Errors
    ///
    /// When there is nothing that could be served.
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

    /// By which memory of ended instances is given back.
    pub(crate) fn reclaim(&self) -> &Reclaim {
        self.loading.engine.reclaim()
    }

    /// Loads again. What comes takes the requests from now on, what goes finishes those that it has, and
    /// what is made of the same as before stays; what cannot be loaded changes nothing, and the log says
    /// so. Certificates of listeners are read again, too. Gives the number of what is served.
    ///
    /// # Errors
    ///
    /// When it cannot be loaded.
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
                // Once, and not with each reload from then on.
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
                    "not loaded again, and what is served stays as it is: {text}"
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
        // Whoever waits for the old routes' last request waits by the services.
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

    /// What answers requests.
    pub(crate) fn front(&self) -> &Arc<Front> {
        &self.front
    }

    /// How reloads ended.
    pub(crate) fn reloads(&self) -> &Reloads {
        &self.reloads
    }

    /// The services that are there.
    pub(crate) fn registry(&self) -> &ServiceRegistry {
        &self.loading.registry
    }

    /// What is known of what is served now.
    pub(crate) fn generation(&self) -> Generation {
        self.generation_mut(|now| now.clone())
    }

    /// What it was made of.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.generation_mut(|now| now.files.clone())
    }

    /// Waits until no guest has anything to do, those of services that were replaced included.
    pub(crate) async fn idle(&self) {
        for service in self.registry().current() {
            if let Some(component) = service.runner.component() {
                component.idle().await;
            }
        }
        self.going.close();
        self.going.wait().await;
    }

    fn generation_mut<T>(&self, change: impl FnOnce(&mut Generation) -> T) -> T {
        // Nothing panics while it is held.
        change(&mut self.now.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Lets a service that was replaced finish what it has.
async fn finish(service: Arc<RunningService>, registry: ServiceRegistry, patience: Duration) {
    if let Some(component) = service.runner.component() {
        component.replaced();
        if tokio::time::timeout(patience, component.idle())
            .await
            .is_err()
        {
            tracing::warn!(
                target: "headwater::reload",
                service = &**service.name(),
                "a version that was replaced still works on what it had; its own timeouts end it"
            );
            component.idle().await;
        }
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
            if before.iter().any(|old| new.is(old)) {
                changes.stay += 1;
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

    /// Tells them in the log.
    fn tell(&self, generation: u64) {
        let Self {
            stay,
            added,
            removed,
            changed,
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
            "loaded again: new requests go to what is there now"
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
        let names = services.iter().map(|service| &**service.name());
        self.common.internal.connect(names.zip(fronts))?;
        Ok(())
    }
}
