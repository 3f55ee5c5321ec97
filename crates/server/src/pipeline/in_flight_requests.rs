//! A registry of the requests in flight, for inspection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use headwater_core::RequestScope;
use http::request::Parts;
use http::{Method, Uri};
use parking_lot::Mutex;
use slab::Slab;

/// Many lists, so that requests on different threads seldom wait for each other.
const SHARDS: usize = 32;

/// A request in flight.
#[derive(Debug, Clone)]
pub struct InFlight {
    /// The scope: id, service, route, client, counters.
    pub scope: Arc<RequestScope>,
    /// The method.
    pub method: Method,
    /// The path as received, without the query, which may be confidential.
    pub path: String,
    /// The time when the head had arrived.
    pub since: Instant,
    /// True if the response's head is decided.
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

/// A request's place in the registry. Dropping it frees the place.
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
            key: self.shards[shard].lock().insert(listed),
            registry: Arc::clone(self),
            shard,
        }
    }

    /// Returns all requests, the oldest first.
    pub(crate) fn list(&self) -> Vec<InFlight> {
        let mut list = Vec::new();
        for shard in &self.shards {
            list.extend(shard.lock().iter().map(|(_, listed)| InFlight {
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
        let listed = self.registry.shards[self.shard].lock().try_remove(self.key);
        // Dropped after the lock: this may be the last reference to a scope.
        drop(listed);
    }
}
