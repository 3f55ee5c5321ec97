//! The connections of one service that are open.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

use crate::ConnectionCount;
use crate::connection::Connection;
use crate::waiters::Upstream;

#[derive(Debug, Default)]
pub(crate) struct OpenConnections {
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// Idle connections that are not closed for a request: those to its own upstream, which the pool gives to it.
pub(crate) struct Spared {
    pub(crate) upstream: Upstream,
    /// A connection that was idle before this was not given to the request. The pool keeps it for other
    /// requests, which may never come.
    pub(crate) idle_by: Option<Instant>,
}

// === impl OpenConnections ===

impl OpenConnections {
    /// Adds a new connection, and returns its number.
    pub(crate) fn insert(&self, connection: &Arc<Connection>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.lock().insert(id, Arc::clone(connection));
        id
    }

    pub(crate) fn remove(&self, id: u64) -> Option<Arc<Connection>> {
        self.open.lock().remove(&id)
    }

    /// Returns the idle connections that are not spared, and since when they are idle.
    pub(crate) fn idle_beside(&self, spared: &Spared) -> Vec<(Instant, Arc<Connection>)> {
        let open = self.open.lock();
        let idle = open.values().filter_map(|connection| {
            let since = connection.idle_since()?;
            let is_spared = spared.upstream == *connection.upstream()
                && spared.idle_by.is_none_or(|looked| since > looked);
            (!is_spared).then(|| (since, Arc::clone(connection)))
        });
        idle.collect()
    }

    pub(crate) fn count(&self) -> Vec<ConnectionCount> {
        let open = self.open.lock();
        let mut counts = BTreeMap::new();
        for connection in open.values() {
            let server = connection.upstream().server.clone();
            let (active, idle): &mut (usize, usize) = counts.entry(server).or_default();
            let of_its_state = if connection.is_used() { active } else { idle };
            *of_its_state += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((address, port), (active, idle))| ConnectionCount {
                address,
                port,
                active,
                idle,
            })
            .collect()
    }
}

/// Closes the connection that has been idle the longest, and returns true if there was one.
pub(crate) fn close_longest(mut idle: Vec<(Instant, Arc<Connection>)>) -> bool {
    idle.sort_unstable_by_key(|(since, _)| *since);
    idle.iter().any(|(_, connection)| connection.close())
}
