//! How many connections there are, and how many there were.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::endpoint::BoundAddress;

/// Counts of connections: a handle that is cheap to clone and to read, for metrics and operators.
#[derive(Debug, Clone)]
pub struct ConnectionCounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limit: usize,
    open: AtomicUsize,
    listeners: Box<[Listener]>,
}

#[derive(Debug)]
struct Listener {
    address: BoundAddress,
    open: AtomicUsize,
    accepted: AtomicU64,
    refused: AtomicU64,
    refused_client: AtomicU64,
    failed: AtomicU64,
}

/// What was counted at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open now.
    pub open: usize,
    /// Connections that were accepted since the start, without those that were refused.
    pub accepted: u64,
    /// Connections that were refused because there were too many.
    pub refused: u64,
    /// Connections that were refused because their client had too many. Where a header of the PROXY
    /// protocol says who it is, they were accepted before.
    pub refused_client: u64,
    /// Connections that ended before a request could come: by a TLS handshake or a header of the PROXY
    /// protocol that was bad or took too long.
    pub failed: u64,
}

/// One open connection. Dropping it counts it out.
#[derive(Debug)]
pub(crate) struct Counted {
    counts: ConnectionCounts,
    listener: usize,
}

// === impl ConnectionCounts ===

impl ConnectionCounts {
    pub(crate) fn new(limit: usize, addresses: &[BoundAddress]) -> Self {
        let listener = |address: &BoundAddress| Listener {
            address: address.clone(),
            open: AtomicUsize::new(0),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            refused_client: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        };
        Self(Arc::new(Inner {
            limit,
            open: AtomicUsize::new(0),
            listeners: addresses.iter().map(listener).collect(),
        }))
    }

    /// Over all listeners.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in self.by_listener() {
            sum += counts;
        }
        sum
    }

    /// By listener, in the order of [`Server::addresses`](crate::Server::addresses).
    pub fn by_listener(&self) -> impl Iterator<Item = (&BoundAddress, Counts)> {
        self.0.listeners.iter().map(|listener| {
            let counts = Counts {
                open: listener.open.load(Ordering::Relaxed),
                accepted: listener.accepted.load(Ordering::Relaxed),
                refused: listener.refused.load(Ordering::Relaxed),
                refused_client: listener.refused_client.load(Ordering::Relaxed),
                failed: listener.failed.load(Ordering::Relaxed),
            };
            (&listener.address, counts)
        })
    }

    /// The most connections that may be open at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Counts a connection in, unless there are too many.
    pub(crate) fn admit(&self, listener: usize) -> Option<Counted> {
        let Inner {
            limit,
            open,
            listeners,
        } = &*self.0;
        let counted = listeners.get(listener)?;
        if open.fetch_add(1, Ordering::Relaxed) >= *limit {
            open.fetch_sub(1, Ordering::Relaxed);
            counted.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        counted.open.fetch_add(1, Ordering::Relaxed);
        counted.accepted.fetch_add(1, Ordering::Relaxed);
        Some(Counted {
            counts: self.clone(),
            listener,
        })
    }

    /// A connection is refused because its client has too many.
    pub(crate) fn refuse_client(&self, listener: usize) {
        if let Some(listener) = self.0.listeners.get(listener) {
            listener.refused_client.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// === impl Counts ===

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        let Self {
            open,
            accepted,
            refused,
            refused_client,
            failed,
        } = other;
        self.open += open;
        self.accepted += accepted;
        self.refused += refused;
        self.refused_client += refused_client;
        self.failed += failed;
    }
}

// === impl Counted ===

impl Counted {
    /// The connection is refused after all, because its client has too many.
    pub(crate) fn refuse_client(&self) {
        self.counts.refuse_client(self.listener);
    }

    /// The connection ended before a request could come.
    pub(crate) fn failed(&self) {
        if let Some(listener) = self.counts.0.listeners.get(self.listener) {
            listener.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.0.open.fetch_sub(1, Ordering::Relaxed);
        if let Some(listener) = self.counts.0.listeners.get(self.listener) {
            listener.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
