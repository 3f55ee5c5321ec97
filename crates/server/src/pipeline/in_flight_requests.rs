//! The requests in flight, for those who want to look at them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use headwater_core::RequestScope;
use http::request::Parts;
use http::{Method, Uri};
use slab::Slab;

/// So many lists, so that requests on different threads seldom wait for each other.
const SHARDS: usize = 32;

/// A request that has come and is not over.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// Its scope: id, service, route, client, counters.
    pub scope: Arc<RequestScope>,
    /// Its method.
    pub method: Method,
    /// Its path as it came, without the query, which may hold what nobody else should see.
    pub path: String,
    /// When its head had arrived.
    pub since: Instant,
    /// Whether the response's head is decided.
    pub answered: bool,
}

/// All requests in flight.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    shards: [Mutex<Slab<Listed>>; SHARDS],
    next: AtomicUsize,
}

#[derive(Debug)]
struct Listed {
    scope: Arc<RequestScope>,
    method: Method,
    uri: Uri,
}

/// A request's place in the registry, until it is dropped.
#[derive(Debug)]
pub(crate) struct Listing {
    registry: Arc<Registry>,
    shard: usize,
    key: usize,
}

// === impl Registry ===

impl Registry {
    pub(crate) fn enter(self: &Arc<Self>, scope: &Arc<RequestScope>, parts: &Parts) -> Listing {
        let listed = Listed {
            scope: Arc::clone(scope),
            method: parts.method.clone(),
            uri: parts.uri.clone(),
        };
        let shard = self.next.fetch_add(1, Ordering::Relaxed) % SHARDS;
        Listing {
            key: lock(&self.shards[shard]).insert(listed),
            registry: Arc::clone(self),
            shard,
        }
    }

    /// All of them, the oldest first.
    pub(crate) fn list(&self) -> Vec<InFlight> {
        let mut list = Vec::new();
        for shard in &self.shards {
            list.extend(lock(shard).iter().map(|(_, listed)| InFlight {
                scope: Arc::clone(&listed.scope),
                method: listed.method.clone(),
                path: listed.uri.path().to_owned(),
                since: listed.scope.started(),
                answered: listed.scope.is_answered(),
            }));
        }
        list.sort_by_key(|request| request.since);
        list
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let listed = lock(&self.registry.shards[self.shard]).try_remove(self.key);
        // Only now, when nobody waits for the lock: it may be the last of a scope.
        drop(listed);
    }
}

/// Nothing that panics runs under the lock, and a list is whole after each step.
fn lock(shard: &Mutex<Slab<Listed>>) -> MutexGuard<'_, Slab<Listed>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
