use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_core::Hops;
use headwater_telemetry::LimitLog;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The outgoing requests of one instance: the limit on open ones, and their attribution.
#[derive(Debug)]
pub(crate) struct Outgoing {
    service: Arc<str>,
    free: Arc<Semaphore>,
    most: usize,
    limits: LimitLog,
    unattributed: AtomicBool,
    unsent: AtomicBool,
    /// The hops of the incoming request with the most.
    hops: Mutex<Hops>,
}

/// A permit for one outgoing request of an instance, until it is dropped.
pub(crate) type OutgoingPermit = OwnedSemaphorePermit;

impl Outgoing {
    pub(crate) fn new(service: Arc<str>, most: usize, limits: LimitLog) -> Self {
        Self {
            service,
            free: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))),
            most,
            limits,
            unattributed: AtomicBool::new(false),
            unsent: AtomicBool::new(false),
            hops: Mutex::default(),
        }
    }

    /// Returns a permit for one more request. `None` at the limit.
    pub(crate) fn open(&self) -> Option<OutgoingPermit> {
        let place = self.free.clone().try_acquire_owned().ok();
        if place.is_none() {
            self.limits.met(&limits::OUTGOING, self.most);
        }
        place
    }

    /// Records the hops of a request that the instance gets.
    pub(crate) fn note_hops(&self, hops: &Hops) {
        if hops.is_none() {
            return;
        }
        let mut longest = self.hops.lock();
        if longest.is_none() || longest.own() < hops.own() {
            longest.clone_from(hops);
        }
    }

    /// Returns the most hops that an outgoing request may have if its incoming request is not known.
    pub(crate) fn most_hops(&self) -> Hops {
        let longest = self.hops.lock();
        longest.clone()
    }

    /// Logs that a part of a body was not sent, the first time only.
    pub(crate) fn note_unsent(&self) {
        if !self.unsent.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                service = &*self.service,
                "a guest wrote a body to a GET or HEAD request, or more bytes than it had declared: they \
                 were not sent; a GET or HEAD request needs a content-length to have a body"
            );
        }
    }

    pub(crate) fn note_unattributed(&self) {
        self.unattributed.store(true, Ordering::Relaxed);
    }

    /// Returns true if any could not be attributed: it may belong to any request of the instance.
    pub(crate) fn any_unattributed(&self) -> bool {
        self.unattributed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::LoopGuard;
    use http::HeaderMap;

    use super::*;

    #[test]
    fn what_is_made_for_nobody_knows_whom_has_come_as_far_as_any_request_of_the_instance() {
        let guard = LoopGuard::default();
        let passed = |times| {
            let mut headers = HeaderMap::new();
            for _ in 0..times {
                let hops = guard.read(&headers);
                guard.pass_on(&hops, &mut headers);
            }
            guard.read(&headers)
        };
        let outgoing = Outgoing::new("test".into(), 1, LimitLog::new("test".into()));
        assert!(outgoing.most_hops().is_none());
        for times in [1, 3, 0, 2] {
            outgoing.note_hops(&passed(times));
        }
        assert_eq!(outgoing.most_hops().own(), 3);
    }

    #[test]
    fn a_place_is_free_again_when_its_request_is_over() {
        let outgoing = Outgoing::new("test".into(), 1, LimitLog::new("test".into()));
        let place = outgoing.open();
        assert!(place.is_some());
        assert!(outgoing.open().is_none());
        drop(place);
        assert!(outgoing.open().is_some());
    }
}
