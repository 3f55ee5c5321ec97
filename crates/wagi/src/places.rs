use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use headwater_core::Fault;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::deadline::{Elapsed, until};

/// The `retry-after` when all instances are busy. Requests to WAGI modules are short.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The maximum number of waiting requests; further ones are refused. Same as for components: in a
/// longer queue, requests would only wait before they are refused anyway.
const MOST_WAITING: usize = 1_000;

/// The maximum time that a request waits. Same as for components.
const WAIT: Duration = Duration::from_secs(10);

/// A module's own limit on live instances.
#[derive(Debug)]
pub(crate) struct ModuleInstances {
    free: Arc<Semaphore>,
    instances: usize,
    waiting: AtomicUsize,
    wait: Duration,
}

/// A request's permit, held until it is dropped.
pub(crate) type ModulePermit = OwnedSemaphorePermit;

impl ModuleInstances {
    pub(crate) fn new(instances: usize) -> Self {
        let instances = instances.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Arc::new(Semaphore::new(instances)),
            instances,
            waiting: AtomicUsize::new(0),
            wait: WAIT,
        }
    }

    /// Acquires a permit, at once or when another request releases one. Returns an overload fault
    /// if too many requests wait already, or if no permit is released in time or before the
    /// deadline. It is not a timeout, because the module was not late.
    pub(crate) async fn take(&self, deadline: Option<Instant>) -> Result<ModulePermit, Fault> {
        if let Ok(place) = self.free.clone().try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = Waiting::begin(&self.waiting)?;
        let free = tokio::time::timeout(self.wait, self.free.clone().acquire_owned());
        match until(deadline, free).await {
            Ok(Ok(Ok(place))) => Ok(place),
            // The semaphore is never closed.
            Ok(Ok(Err(_)) | Err(_)) | Err(Elapsed) => {
                let all = self.instances;
                Err(
                    Fault::overload("queue_timeout", RETRY_AFTER).caused_by(format!(
                        "all {all} instances that the service may have are busy (`max_instances`)"
                    )),
                )
            }
        }
    }
}

/// Counts a waiting request until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Result<Self, Fault> {
        let one = Self(waiting);
        match waiting.fetch_add(1, Ordering::Relaxed) < MOST_WAITING {
            true => Ok(one),
            false => Err(Fault::overload("queue_full", RETRY_AFTER)),
        }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures::poll;

    use super::*;

    #[tokio::test]
    async fn a_request_waits_for_a_place_in_turn_and_a_queue_has_an_end() {
        let places = ModuleInstances::new(1);
        let first = places.take(None).await.unwrap();
        let mut queue = Vec::new();
        for _ in 0..MOST_WAITING {
            let mut waiting = Box::pin(places.take(None));
            assert!(poll!(&mut waiting).is_pending());
            queue.push(waiting);
        }
        assert_eq!(places.take(None).await.unwrap_err().kind(), "queue_full");
        drop(first);
        let second = queue.remove(0).await.unwrap();
        drop(queue);
        drop(second);
        assert!(places.take(None).await.is_ok());
    }

    #[tokio::test]
    async fn a_request_that_waits_too_long_is_refused() {
        let places = ModuleInstances {
            wait: Duration::from_millis(1),
            ..ModuleInstances::new(1)
        };
        let _first = places.take(None).await.unwrap();
        assert_eq!(places.take(None).await.unwrap_err().kind(), "queue_timeout");
    }
}
