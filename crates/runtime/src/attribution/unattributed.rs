use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use headwater_core::{Attribution, Doubt, Verdict};
use parking_lot::Mutex;

use crate::guest_name::GuestName;

/// The interval between messages about a service's unattributed calls: there are usually many, and
/// one line is enough.
const EVERY: Duration = Duration::from_secs(60);

/// Tells a guest's author about outgoing requests that could not be attributed, and the remedy. One
/// for each service.
#[derive(Debug)]
pub(crate) struct Unattributed {
    service: Arc<str>,
    guest: GuestName,
    tally: Mutex<Tally>,
    /// In the order of [`Doubt::ALL`].
    doubts: [AtomicU64; Doubt::ALL.len()],
    /// True if its tasks were seen to give work to one another, and that was logged.
    hops: AtomicBool,
}

#[derive(Debug, Default)]
struct Tally {
    ambiguous: u64,
    unknown: u64,
    told: Option<Instant>,
}

impl Unattributed {
    pub(crate) fn new(service: Arc<str>, guest: GuestName) -> Self {
        Self {
            service,
            guest,
            tally: Mutex::default(),
            doubts: Default::default(),
            hops: AtomicBool::new(false),
        }
    }

    pub(crate) fn doubts(&self) -> [(Doubt, u64); Doubt::ALL.len()] {
        std::array::from_fn(|place| {
            let count = self.doubts[place].load(Ordering::Relaxed);
            (Doubt::ALL[place], count)
        })
    }

    /// Counts a call that is not attributed exactly, and logs it if the last message is old enough.
    pub(crate) fn note(&self, attribution: &Attribution) {
        let verdict = attribution.verdict();
        if verdict == Verdict::Exact {
            return;
        }
        if let Some(doubt) = attribution.doubt() {
            self.note_doubt(doubt);
        }
        let due = {
            let mut tally = self.tally.lock();
            tally.count(verdict, Instant::now())
        };
        // Without the lock: the log's writer may be slow.
        if let Some((ambiguous, unknown)) = due {
            tracing::warn!(
                target: "headwater::attribution",
                parent: None,
                service = &*self.service,
                ambiguous,
                unknown,
                "outgoing requests of the guest could not be attributed to the request that they are \
                 made for (ambiguous: the evidence names several requests, or cannot be trusted; \
                 unknown: there is no evidence). To stay exact, let the guest make each call in the \
                 task of its request or in a task spawned from it; or pass the request's \
                 `traceparent` on to the upstream; or take an attribution token of the request and \
                 enter it around the call; or apply backpressure while it has a request, so that its \
                 instance has no other. The counts are those since the last such line; there is at \
                 most one such line a minute",
            );
        }
    }

    fn note_doubt(&self, doubt: Doubt) {
        self.doubts[doubt as usize].fetch_add(1, Ordering::Relaxed);
        // A task that continues after its request is answered need not work for another.
        if doubt == Doubt::Outlived || self.hops.swap(true, Ordering::Relaxed) {
            return;
        }
        tracing::warn!(
            target: "headwater::attribution",
            parent: None,
            service = &*self.service,
            component = self.guest.name(),
            language = self.guest.language(),
            doubt = doubt.as_str(),
            "tasks of the guest wake one another, so one request's work may be done in the task of \
             another (a worker, a pool, a shared future, a lock): such calls are `ambiguous`. To make \
             them exact, wrap each piece of work in the attribution scope of its request (Rust: \
             `Scope::wrap` of `components/attribution`), or send the request's `x-request-id` along; \
             or set `attribution` of the service to `serial`, or to `task` if its tasks wake one \
             another but never do each other's work. This is logged once",
        );
    }
}

impl Tally {
    /// Returns the counts (ambiguous, unknown), if a message is due.
    fn count(&mut self, verdict: Verdict, now: Instant) -> Option<(u64, u64)> {
        match verdict {
            Verdict::Exact => return None,
            Verdict::Ambiguous => self.ambiguous += 1,
            Verdict::Unknown => self.unknown += 1,
        }
        let due = self
            .told
            .is_none_or(|told| now.saturating_duration_since(told) >= EVERY);
        due.then(|| {
            self.told = Some(now);
            (
                std::mem::take(&mut self.ambiguous),
                std::mem::take(&mut self.unknown),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;

    #[test]
    fn doubts_are_counted_by_reason() {
        let unattributed = Unattributed::new("shop".into(), GuestName::default());
        let doubtful = |doubt| Attribution::doubtful(scope(), [scope()], doubt);
        for doubt in [Doubt::Woken, Doubt::Outlived, Doubt::Woken] {
            unattributed.note(&doubtful(doubt));
        }
        unattributed.note(&Attribution::unknown());
        let counts = [
            (Doubt::Woken, 2),
            (Doubt::TakenOver, 0),
            (Doubt::Awaited, 0),
            (Doubt::Outlived, 1),
        ];
        assert_eq!(unattributed.doubts(), counts);
    }

    #[test]
    fn the_first_is_told_at_once_and_the_rest_by_the_minute() {
        let start = Instant::now();
        let mut tally = Tally::default();
        assert_eq!(tally.count(Verdict::Exact, start), None);
        assert_eq!(tally.count(Verdict::Unknown, start), Some((0, 1)));
        for _ in 0..1_000 {
            assert_eq!(tally.count(Verdict::Ambiguous, start), None);
        }
        assert_eq!(tally.count(Verdict::Unknown, start + EVERY / 2), None);
        assert_eq!(
            tally.count(Verdict::Unknown, start + EVERY),
            Some((1_000, 2))
        );
        assert_eq!(tally.count(Verdict::Unknown, start + EVERY), None);
    }
}
