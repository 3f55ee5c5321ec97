//! What all services share: how much may go out in all, and who has connections to spare.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::connection::Server;
use crate::connections::{Connections, Spared};
use crate::limits::{Limit, RequestPermits, SharedLimits, semaphore};

/// The bounds of all services together. Cheap to clone; give the same to each
/// [`Egress`](crate::Egress) of a host.
#[derive(Debug, Clone)]
pub struct EgressShared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: SharedLimits,
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    services: Mutex<Vec<Weak<Connections>>>,
    /// Those who wait for a connection's place: how many, so that nobody looks where nobody waits, and
    /// for which upstreams.
    waiting: AtomicUsize,
    wanted: Mutex<HashMap<Upstream, usize>>,
}

/// Whose connections they are, and to whom. Connections to one upstream stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    /// The address of the service's [`Connections`], which are there as long as this is.
    of: usize,
    server: Server,
}

/// Somebody waits for a connection's place, until this is dropped.
pub(crate) struct Waiting<'a> {
    shared: &'a Inner,
    upstream: Upstream,
}

// === impl EgressShared ===

impl EgressShared {
    /// Shares out so much.
    #[must_use]
    pub fn new(limits: SharedLimits) -> Self {
        let SharedLimits {
            max_requests,
            max_connections,
        } = limits;
        Self(Arc::new(Inner {
            limits,
            requests: semaphore(max_requests),
            connections: semaphore(max_connections),
            services: Mutex::default(),
            waiting: AtomicUsize::new(0),
            wanted: Mutex::default(),
        }))
    }

    /// What it shares out.
    pub(crate) fn limits(&self) -> SharedLimits {
        self.0.limits
    }

    /// Permits for the requests of a service.
    pub(crate) fn requests(&self, own: usize) -> RequestPermits {
        RequestPermits::new(
            own,
            Limit::ServiceRequests,
            &self.0.requests,
            Limit::AllRequests,
        )
    }

    /// Permits for its connections.
    pub(crate) fn connections(&self, own: usize) -> RequestPermits {
        RequestPermits::new(
            own,
            Limit::ServiceConnections,
            &self.0.connections,
            Limit::AllConnections,
        )
    }

    /// Takes note of a service's connections.
    pub(crate) fn add(&self, connections: &Arc<Connections>) {
        let mut services = self.services();
        services.retain(|service| service.strong_count() > 0);
        services.push(Arc::downgrade(connections));
    }

    /// Closes the connection that has been idle the longest, of whatever service, but for those that are
    /// spared. Returns whether there was one.
    pub(crate) fn close_longest_idle(&self, spared: &Spared) -> bool {
        let services: Vec<_> = self.services().iter().filter_map(Weak::upgrade).collect();
        let idle = services
            .iter()
            .flat_map(|service| service.idle_beside(spared));
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.iter().any(|(_, connection)| connection.close())
    }

    /// Notes that somebody waits for the place of a connection to this upstream.
    pub(crate) fn wait(&self, upstream: Upstream) -> Waiting<'_> {
        *self.0.wanted().entry(upstream.clone()).or_default() += 1;
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting {
            shared: &self.0,
            upstream,
        }
    }

    /// Whether somebody waits who cannot use a connection to this upstream.
    pub(crate) fn is_waited_for_beside(&self, upstream: impl FnOnce() -> Upstream) -> bool {
        if self.0.waiting.load(Ordering::SeqCst) == 0 {
            return false;
        }
        let upstream = upstream();
        self.0.wanted().keys().any(|wanted| *wanted != upstream)
    }

    fn services(&self) -> MutexGuard<'_, Vec<Weak<Connections>>> {
        let services = self.0.services.lock();
        services.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for EgressShared {
    fn default() -> Self {
        Self::new(SharedLimits::default())
    }
}

// === impl Inner ===

impl Inner {
    fn wanted(&self) -> MutexGuard<'_, HashMap<Upstream, usize>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(of: &Connections, server: Server) -> Self {
        Self {
            of: std::ptr::from_ref(of).addr(),
            server,
        }
    }

    /// Whether it is that of these connections, and this server.
    pub(crate) fn is(&self, of: &Connections, server: &Server) -> bool {
        self.of == std::ptr::from_ref(of).addr() && self.server == *server
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.shared.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut wanted = self.shared.wanted();
        if let Some(waiting) = wanted.get_mut(&self.upstream) {
            *waiting -= 1;
            if *waiting == 0 {
                wanted.remove(&self.upstream);
            }
        }
    }
}
