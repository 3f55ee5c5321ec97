//! The requests that wait for a connection's place, by upstream.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Host and port of the requests that a connection is for.
pub(crate) type Server = (Arc<str>, u16);

/// A service and a server. Connections of one upstream can replace each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    pub(crate) of: usize,
    pub(crate) server: Server,
}

/// The requests that wait for a connection's place: their upstreams, and their number as a cheap check.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: AtomicUsize,
    wanted: Mutex<HashMap<Upstream, usize>>,
}

/// A request that waits for a connection's place, until this is dropped.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    upstream: Upstream,
}

// === impl Waiters ===

impl Waiters {
    /// Records that a request waits for the place of a connection to this upstream.
    pub(crate) fn wait(&self, upstream: Upstream) -> Waiting<'_> {
        *self.wanted.lock().entry(upstream.clone()).or_default() += 1;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting {
            waiters: self,
            upstream,
        }
    }

    /// Returns true if a request to another upstream waits.
    pub(crate) fn are_beside(&self, upstream: &Upstream) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
            && self.wanted.lock().keys().any(|wanted| wanted != upstream)
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut wanted = self.waiters.wanted.lock();
        if let Some(waiting) = wanted.get_mut(&self.upstream) {
            *waiting -= 1;
            if *waiting == 0 {
                wanted.remove(&self.upstream);
            }
        }
    }
}
