//! Counts of requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A count of requests in flight, with or without a limit. Two counters that only grow cost no more
/// than one that goes up and down, and also give the total.
#[derive(Debug, Default)]
pub(crate) struct InFlightCount {
    entered: AtomicUsize,
    left: AtomicUsize,
    limit: Option<usize>,
    idle: Notify,
}

/// One request's place in the count. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct InFlightPermit(Arc<InFlightCount>);

// === impl InFlightCount ===

impl InFlightCount {
    pub(crate) fn up_to(limit: Option<usize>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            ..Self::default()
        })
    }

    /// Takes a place, or returns `None` if all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlightPermit> {
        // Counts before it compares, so that two concurrent requests cannot both take the last place.
        let before = self.entered.fetch_add(1, Ordering::Relaxed);
        let place = InFlightPermit(Arc::clone(self));
        self.limit
            .is_none_or(|limit| before.saturating_sub(self.left.load(Ordering::Relaxed)) < limit)
            .then_some(place)
    }

    pub(crate) fn count(&self) -> usize {
        // In this order, no request is seen to leave that was not seen to enter.
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Relaxed).saturating_sub(left)
    }

    /// Returns the number of requests so far, including those that found no place.
    pub(crate) fn entered(&self) -> usize {
        self.entered.load(Ordering::Relaxed)
    }

    /// Waits until no request is in flight. New ones may have come by the time that the caller looks.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            // Enabled before the check, so that no notification is missed.
            notified.as_mut().enable();
            if self.count() == 0 {
                return;
            }
            notified.await;
        }
    }
}

impl Drop for InFlightPermit {
    fn drop(&mut self) {
        let left = self.0.left.fetch_add(1, Ordering::Release) + 1;
        if left == self.0.entered.load(Ordering::Relaxed) {
            self.0.idle.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn there_are_as_many_places_as_the_limit_and_each_comes_free_again() {
        let in_flight = InFlightCount::up_to(Some(2));
        let first = in_flight.enter();
        let second = in_flight.enter();
        assert!(first.is_some() && second.is_some());
        assert!(in_flight.enter().is_none());
        assert_eq!(in_flight.count(), 2);
        drop(first);
        assert!(in_flight.enter().is_some());
        drop(second);
        assert_eq!(in_flight.count(), 0);
        assert_eq!(in_flight.entered(), 4);
    }

    #[tokio::test]
    async fn idle_waits_for_the_last() {
        let in_flight = InFlightCount::up_to(None);
        in_flight.idle().await;
        let place = in_flight.enter();
        let idle = in_flight.idle();
        tokio::pin!(idle);
        assert!(idle.as_mut().now_or_never().is_none());
        drop(place);
        assert!(idle.now_or_never().is_some());
    }
}
