//! Counts of open, accepted and refused connections.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::endpoint::BoundAddress;

/// The counts of connections, for metrics and operators. Cheap to clone and to read.
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

/// A snapshot of the counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections that are open now.
    pub open: usize,
    /// Connections accepted since the start, without those refused.
    pub accepted: u64,
    /// Connections refused because there were too many.
    pub refused: u64,
    /// Connections refused because their client had too many. Where a PROXY header names the client, they
    /// also count as accepted.
    pub refused_client: u64,
    /// Connections that ended before a request could come: the TLS handshake or the PROXY header was bad or
    /// took too long.
    pub failed: u64,
}

/// One open connection. Dropping it decrements the count.
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

    /// Returns the counts over all listeners.
    #[must_use]
    pub fn total(&self) -> Counts {
        let mut sum = Counts::default();
        for (_, counts) in self.by_listener() {
            sum += counts;
        }
        sum
    }

    /// Returns the counts by listener, in the order of [`Server::addresses`](crate::Server::addresses).
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

    /// Returns the maximum of open connections.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Counts a connection, unless there are too many.
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

    /// Counts a connection that is refused because its client has too many.
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
    /// Counts an admitted connection as refused, because its client has too many.
    pub(crate) fn refuse_client(&self) {
        self.counts.refuse_client(self.listener);
    }

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
