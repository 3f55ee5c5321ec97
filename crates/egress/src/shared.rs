//! What all services share: how much may go out in all, and who has connections to spare.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::Semaphore;

use crate::connections::Connections;
use crate::limits::{Limit, Places, SharedLimits, semaphore};

/// The bounds of all services together. Cheap to clone; give the same to each
/// [`Egress`](crate::Egress) of a host.
#[derive(Debug, Clone)]
pub struct EgressShared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    services: Mutex<Vec<Weak<Connections>>>,
    /// Those who wait for a connection's place.
    waiting: AtomicUsize,
}

/// Somebody waits for a connection's place, until this is dropped.
pub(crate) struct Waiting<'a>(&'a AtomicUsize);

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
            requests: semaphore(max_requests),
            connections: semaphore(max_connections),
            services: Mutex::default(),
            waiting: AtomicUsize::new(0),
        }))
    }

    /// Places for the requests of a service.
    pub(crate) fn requests(&self, own: usize) -> Places {
        Places::new(
            own,
            Limit::ServiceRequests,
            &self.0.requests,
            Limit::AllRequests,
        )
    }

    /// Places for its connections.
    pub(crate) fn connections(&self, own: usize) -> Places {
        Places::new(
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

    /// Closes the connection that has been idle the longest, of whatever service. Returns whether
    /// there was one.
    pub(crate) fn close_longest_idle(&self) -> bool {
        let services: Vec<_> = self.services().iter().filter_map(Weak::upgrade).collect();
        let idle = services.iter().flat_map(|service| service.idle());
        let mut idle: Vec<_> = idle.collect();
        idle.sort_unstable_by_key(|(since, _)| *since);
        idle.iter().any(|(_, connection)| connection.close())
    }

    /// Notes that somebody waits for a connection's place.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting(&self.0.waiting)
    }

    /// Whether somebody does.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.waiting.load(Ordering::SeqCst) > 0
    }

    fn services(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Connections>>> {
        let services = self.0.services.lock();
        services.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for EgressShared {
    fn default() -> Self {
        Self::new(SharedLimits::default())
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
