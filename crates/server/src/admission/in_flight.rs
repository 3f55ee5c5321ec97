//! How many requests there are at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// A count of requests in flight, with a limit or without.
///
/// Two counts that only grow are of no more cost than one that goes up and down, and tell how many there
/// were in all.
#[derive(Debug, Default)]
pub(crate) struct InFlightCount {
    entered: AtomicUsize,
    left: AtomicUsize,
    limit: Option<usize>,
    idle: Notify,
}

/// One request's place in the count, until it is dropped.
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

    /// Takes a place, if there is one.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<InFlightPermit> {
        // Counted first and looked at then: two that come at once cannot both take the last place.
        let before = self.entered.fetch_add(1, Ordering::Relaxed);
        let place = InFlightPermit(Arc::clone(self));
        self.limit
            .is_none_or(|limit| before.saturating_sub(self.left.load(Ordering::Relaxed)) < limit)
            .then_some(place)
    }

    pub(crate) fn count(&self) -> usize {
        // In this order: no request is seen to leave that was not seen to enter.
        let left = self.left.load(Ordering::Acquire);
        self.entered.load(Ordering::Relaxed).saturating_sub(left)
    }

    /// How many there were so far, those included that found no place.
    pub(crate) fn entered(&self) -> usize {
        self.entered.load(Ordering::Relaxed)
    }

    /// Until none is in flight. Requests may have come again by the time that the caller looks.
    pub(crate) async fn idle(&self) {
        loop {
            let notified = self.idle.notified();
            tokio::pin!(notified);
            // Before the look, so that nothing happens unseen between the two.
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
