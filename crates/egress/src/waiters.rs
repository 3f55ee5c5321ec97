//! Who waits for the place of a connection, and to which upstream.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Host and port of the requests that a connection is for.
pub(crate) type Server = (Arc<str>, u16);

/// Whose connections they are, and to whom. Connections to one upstream stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Upstream {
    /// The number of the service.
    pub(crate) of: usize,
    pub(crate) server: Server,
}

/// Those who wait for a connection's place: how many, so that nobody looks where nobody waits, and for
/// which upstreams.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    waiting: AtomicUsize,
    wanted: Mutex<HashMap<Upstream, usize>>,
}

/// Somebody waits for a connection's place, until this is dropped.
pub(crate) struct Waiting<'a> {
    waiters: &'a Waiters,
    upstream: Upstream,
}

// === impl Waiters ===

impl Waiters {
    /// Notes that somebody waits for the place of a connection to this upstream.
    pub(crate) fn wait(&self, upstream: Upstream) -> Waiting<'_> {
        *self.wanted().entry(upstream.clone()).or_default() += 1;
        self.waiting.fetch_add(1, Ordering::SeqCst);
        Waiting {
            waiters: self,
            upstream,
        }
    }

    /// Whether somebody waits who cannot use a connection to this upstream.
    pub(crate) fn are_beside(&self, upstream: &Upstream) -> bool {
        self.waiting.load(Ordering::SeqCst) > 0
            && self.wanted().keys().any(|wanted| wanted != upstream)
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<Upstream, usize>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Waiting ===

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.waiters.waiting.fetch_sub(1, Ordering::SeqCst);
        let mut wanted = self.waiters.wanted();
        if let Some(waiting) = wanted.get_mut(&self.upstream) {
            *waiting -= 1;
            if *waiting == 0 {
                wanted.remove(&self.upstream);
            }
        }
    }
}
