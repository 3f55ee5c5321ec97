//! The queue of services that wait for places.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::oneshot;

use super::service::{InstancePlaces, Service};

/// A service that waits for the places of one instance.
pub(super) struct Waiter {
    pub(super) number: u64,
    pub(super) service: Arc<Service>,
    pub(super) granted: oneshot::Sender<InstancePlaces>,
}

/// An entry in the queue, until it is dropped.
pub(super) struct Waiting {
    pub(super) number: u64,
    pub(super) service: Arc<Service>,
    pub(super) granted: oneshot::Receiver<InstancePlaces>,
    pub(super) asked: u32,
}

/// Returns the waiter to serve next: the one with the fewest places once served; among equals, the
/// longest waiting.
pub(super) fn next(queue: &[Waiter]) -> Option<usize> {
    (0..queue.len()).min_by_key(|index| queue[*index].service.would_have())
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn begin(service: &Arc<Service>) -> Self {
        let places = &service.places;
        let number = places.next.fetch_add(1, Ordering::Relaxed);
        let (granted, receiver) = oneshot::channel();
        service.waiting.fetch_add(1, Ordering::Relaxed);
        {
            let mut queue = places.queue.lock();
            queue.push(Waiter {
                number,
                service: service.clone(),
                granted,
            });
            places.waiting.store(queue.len(), Ordering::SeqCst);
        }
        // Places given back before this was in the queue were not offered to it.
        places.grant();
        Self {
            number,
            service: service.clone(),
            granted: receiver,
            asked: 0,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let places = &self.service.places;
        self.service.waiting.fetch_sub(1, Ordering::Relaxed);
        {
            let mut queue = places.queue.lock();
            queue.retain(|waiter| waiter.number != self.number);
            places.waiting.store(queue.len(), Ordering::SeqCst);
        }
        // The next waiters may have room where this one had none.
        places.grant();
    }
}
