//! The limits and idle connections that all services share.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::limits::{Limit, RequestPermits, SharedLimits, semaphore};
use crate::open_connections::{OpenConnections, Spared, close_longest};
use crate::waiters::Waiters;

/// The limits of all services together. Cheap to clone; give the same to each [`Egress`](crate::Egress) of a
/// host.
#[derive(Debug, Clone)]
pub struct EgressShared(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: SharedLimits,
    requests: Arc<Semaphore>,
    connections: Arc<Semaphore>,
    services: Mutex<Vec<Weak<OpenConnections>>>,
    /// The number of services so far.
    added: AtomicUsize,
    waiters: Arc<Waiters>,
}

// === impl EgressShared ===

impl EgressShared {
    /// Makes shared limits.
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
            added: AtomicUsize::new(0),
            waiters: Arc::default(),
        }))
    }

    pub(crate) fn limits(&self) -> SharedLimits {
        self.0.limits
    }

    pub(crate) fn requests(&self, own: usize) -> RequestPermits {
        let all = &self.0.requests;
        RequestPermits::new(own, Limit::ServiceRequests, all, Limit::AllRequests)
    }

    pub(crate) fn connections(&self, own: usize) -> RequestPermits {
        let all = &self.0.connections;
        RequestPermits::new(own, Limit::ServiceConnections, all, Limit::AllConnections)
    }

    /// Registers a service's connections, and returns the service's number.
    pub(crate) fn add(&self, connections: &Arc<OpenConnections>) -> usize {
        let mut services = self.0.services.lock();
        services.retain(|service| service.strong_count() > 0);
        services.push(Arc::downgrade(connections));
        self.0.added.fetch_add(1, Ordering::Relaxed)
    }

    /// Closes the connection of any service that has been idle the longest, except for the spared ones.
    /// Returns true if there was one.
    pub(crate) fn close_longest_idle(&self, spared: &Spared) -> bool {
        let services: Vec<_> = self
            .0
            .services
            .lock()
            .iter()
            .filter_map(Weak::upgrade)
            .collect();
        let services = services.iter();
        close_longest(
            services
                .flat_map(|service| service.idle_beside(spared))
                .collect(),
        )
    }

    pub(crate) fn waiters(&self) -> &Arc<Waiters> {
        &self.0.waiters
    }
}

impl Default for EgressShared {
    fn default() -> Self {
        Self::new(SharedLimits::default())
    }
}
