//! A host in a program of your own: services, listeners, and a run until a token is cancelled. The
//! command line uses the same parts.

mod builder;
pub(crate) mod loader;
mod service;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_server::{
    BoundAddress, ConnectionCounts, DrainParams, HttpService, ServeOutcome, Server,
};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use headwater_runtime::ServingThreads;

pub use self::builder::HostBuilder;
pub use self::service::Service;
use crate::reload::RunningHost;

/// The time that a thread in a blocking call may delay the end of the host.
const ABANDON: Duration = Duration::from_secs(1);

/// The error for a host that cannot be built. Its text lists all reasons.
#[derive(Debug, thiserror::Error)]
#[error("{}", headwater_core::explain(.0.as_ref()))]
pub struct BuildError(anyhow::Error);

/// A host that is ready to serve.
pub struct Host {
    server: Option<Server>,
    serving: Option<ServingThreads>,
    running: Arc<RunningHost>,
    drain: DrainParams,
    /// The description of the services, for people.
    banner: Vec<String>,
}

// === impl Host ===

impl Host {
    /// Returns a builder for a host without services and listeners.
    #[must_use]
    pub fn builder() -> HostBuilder {
        HostBuilder::new()
    }

    /// Returns the addresses that it listens on, with the actual ports.
    #[must_use]
    pub fn addresses(&self) -> &[BoundAddress] {
        self.server.as_ref().map_or(&[], Server::addresses)
    }

    /// Returns the host as a tower service, for a server that is not Headwater's.
    #[must_use]
    pub fn http_service(&self) -> HttpService {
        HttpService::new(Arc::clone(self.running.front()))
    }

    /// Serves until the token is cancelled. Then it accepts no more connections, lets the requests
    /// in flight finish within the drain timeout of the settings, and waits as long for work that
    /// guests do after their responses.
    pub async fn run(self, shutdown: CancellationToken) -> ServeOutcome {
        let Self {
            server,
            serving,
            running,
            drain,
            banner: _,
        } = self;
        let drain_began = tokio::spawn(instant_of(shutdown.clone()));
        let front = Arc::clone(running.front());
        let outcome = match server {
            Some(server) => server.serve(front, shutdown).await,
            None => {
                shutdown.cancelled().await;
                // The other server decides how long a drain may take.
                front.idle().await;
                ServeOutcome::Drained
            }
        };
        // If requests were cut, no time is left for anything else.
        if let (ServeOutcome::Drained, Ok(began)) = (outcome, drain_began.await) {
            finish_background_work(&running, began + drain.delay + drain.timeout).await;
        }
        if let Some(serving) = serving {
            let threads = running.threads().clone();
            // Ends what guests still do, and so the spans of their open calls.
            let end = spawn_blocking(move || {
                serving.end(ABANDON);
                threads.run_on_computing(|| (), ABANDON);
            });
            // Fails only if the runtime ends.
            let _ = end.await;
        }
        outcome
    }

    /// Returns the running host, which reloads replace.
    pub(crate) const fn running(&self) -> &Arc<RunningHost> {
        &self.running
    }

    pub(crate) fn banner(&self) -> &[String] {
        &self.banner
    }

    /// Returns the runtimes of its serving threads.
    pub(crate) fn runtimes(&self) -> Vec<Handle> {
        let serving = self.serving.as_ref();
        serving.map_or_else(Vec::new, ServingThreads::runtimes)
    }

    pub(crate) fn connections(&self) -> Option<ConnectionCounts> {
        self.server.as_ref().map(Server::connections)
    }
}

async fn instant_of(shutdown: CancellationToken) -> Instant {
    shutdown.cancelled_owned().await;
    Instant::now()
}

/// Lets guests finish their work for requests that have been answered.
async fn finish_background_work(running: &RunningHost, until: Instant) {
    let idle = tokio::time::timeout_at(until.into(), running.idle());
    if idle.await.is_err() {
        tracing::warn!(target: "headwater::host", "ended work that guests still did after their responses");
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.addresses().iter().map(ToString::to_string);
        f.debug_struct("Host")
            .field("addresses", &addresses.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

// === impl BuildError ===

impl From<anyhow::Error> for BuildError {
    fn from(error: anyhow::Error) -> Self {
        Self(error)
    }
}
