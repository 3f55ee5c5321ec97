use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_core::{Attribution, Verdict};

/// How often a service's unattributed calls are told of: they come in numbers, and one line says all.
const EVERY: Duration = Duration::from_secs(60);

/// Tells a guest's author of outgoing requests that could not be attributed, and what to do. One of a
/// service's.
#[derive(Debug)]
pub(crate) struct Unattributed {
    service: Arc<str>,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    ambiguous: u64,
    unknown: u64,
    told: Option<Instant>,
}

impl Unattributed {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self {
            service,
            tally: Mutex::default(),
        }
    }

    /// Counts a call that is not attributed exactly, and says so if it was not said lately.
    pub(crate) fn note(&self, attribution: &Attribution) {
        let verdict = attribution.verdict();
        if verdict == Verdict::Exact {
            return;
        }
        let due = {
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.count(verdict, Instant::now())
        };
        // Without the lock: whoever reads the log may be slow.
        if let Some((ambiguous, unknown)) = due {
            tracing::warn!(
                target: "headwater::attribution",
                parent: None,
                service = &*self.service,
                ambiguous,
                unknown,
                "outgoing requests of the guest could not be attributed to the request that they are \
                 made for (ambiguous: evidence names several, or cannot be trusted; unknown: there is \
                 none). To stay exact, let the guest make each call in the task of its request or in \
                 one spawned from it; or pass the request's `traceparent` on to the upstream; or take \
                 an attribution token of the request and enter it around the call; or apply \
                 backpressure while it has a request, so that its instance has no other. Counted \
                 since the last such line, at most one a minute",
            );
        }
    }
}

impl Tally {
    /// The counts (ambiguous, unknown), if they are to be told now.
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
