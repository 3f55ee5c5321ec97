use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The outgoing requests of one instance: how many may be open, and whether whose they are is known.
#[derive(Debug)]
pub(crate) struct Outgoing {
    free: Arc<Semaphore>,
    unattributed: AtomicBool,
    refused: AtomicBool,
    unsent: AtomicBool,
}

/// An outgoing request's place among those of its instance, until it is dropped.
pub(crate) type Place = OwnedSemaphorePermit;

impl Outgoing {
    /// So many may be open at once.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            unattributed: AtomicBool::new(false),
            refused: AtomicBool::new(false),
            unsent: AtomicBool::new(false),
        }
    }

    /// A place for one more; none if as many are open as may be.
    pub(crate) fn open(&self) -> Option<Place> {
        self.free.clone().try_acquire_owned().ok()
    }

    /// Says in the log that one was refused, if it is the first.
    pub(crate) fn note_refused(&self, service: &str) {
        if !self.refused.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                service,
                "a guest has as many outgoing requests open as an instance may: further ones fail \
                 with connection-limit-reached; --max-outgoing-per-instance allows more"
            );
        }
    }

    /// Says in the log that a part of a body was not sent, if it is the first.
    pub(crate) fn note_unsent(&self, service: &str) {
        if !self.unsent.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                service,
                "a guest wrote a body to a GET or HEAD request, or more than it had declared: it was \
                 not sent; a body is sent with these methods if the request has its content-length"
            );
        }
    }

    /// Notes that one was made for nobody knows which request.
    pub(crate) fn note_unattributed(&self) {
        self.unattributed.store(true, Ordering::Relaxed);
    }

    /// Whether any was made for nobody knows which request: it may have been any of the instance.
    pub(crate) fn any_unattributed(&self) -> bool {
        self.unattributed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_when_its_request_is_over() {
        let outgoing = Outgoing::new(1);
        let place = outgoing.open();
        assert!(place.is_some());
        assert!(outgoing.open().is_none());
        drop(place);
        assert!(outgoing.open().is_some());
    }
}
