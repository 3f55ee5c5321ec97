use std::time::{Duration, Instant};

#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Bytes that may come at once.
    pub(crate) burst: u64,
    /// Bytes a second after the burst.
    pub(crate) per_second: u64,
}

/// A token bucket with a [`Rate`].
///
/// Once it has refused something, it refuses everything until there is a second's worth again. So
/// output that keeps exceeding its rate comes in pieces with gaps, each reported once, and not as
/// every tenth line with a notice after each.
#[derive(Debug)]
pub(crate) struct Allowance {
    rate: Rate,
    left: u64,
    /// The time at which `left` was computed.
    at: Instant,
    dry: bool,
}

impl Allowance {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            left: rate.burst,
            at: now,
            dry: false,
        }
    }

    pub(crate) fn take(&mut self, bytes: u64, now: Instant) -> bool {
        self.refill(now);
        if self.dry && self.left < self.rate.per_second.min(self.rate.burst) {
            return false;
        }
        self.dry = self.left < bytes;
        if self.dry {
            return false;
        }
        self.left -= bytes;
        true
    }

    /// Returns true if it is in the state of a new one.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.left == self.rate.burst
    }

    fn refill(&mut self, now: Instant) {
        const SECOND: u128 = Duration::from_secs(1).as_nanos();
        let per_second = u128::from(self.rate.per_second);
        let elapsed = now.saturating_duration_since(self.at);
        let gained = elapsed.as_nanos().saturating_mul(per_second) / SECOND;
        let missing = self.rate.burst - self.left;
        match u64::try_from(gained) {
            Ok(gained) if gained < missing => {
                self.left += gained;
                // Counts only the time of whole bytes, so that fractions are not lost.
                let used = u128::from(gained) * SECOND / per_second.max(1);
                self.at += Duration::from_nanos(u64::try_from(used).unwrap_or(u64::MAX));
            }
            _ => {
                self.left = self.rate.burst;
                self.at = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate {
        burst: 100,
        per_second: 10,
    };

    #[test]
    fn a_burst_and_then_the_rate() {
        let start = Instant::now();
        let mut allowance = Allowance::new(RATE, start);
        assert!(allowance.is_full(start));
        assert!(allowance.take(100, start));
        assert!(!allowance.is_full(start));
        assert!(!allowance.take(1, start));
        assert!(allowance.take(10, start + Duration::from_secs(1)));
        assert!(!allowance.take(1, start + Duration::from_secs(1)));
        assert!(!allowance.is_full(start + Duration::from_secs(10)));
        assert!(allowance.is_full(start + Duration::from_secs(11)));
    }

    #[test]
    fn what_was_refused_opens_again_after_a_second_and_not_byte_by_byte() {
        let start = Instant::now();
        let mut allowance = Allowance::new(RATE, start);
        assert!(!allowance.take(101, start));
        assert!(allowance.take(1, start), "there was enough for this one");
        assert!(allowance.take(99, start));
        assert!(!allowance.take(1, start));
        assert!(!allowance.take(1, start + Duration::from_millis(999)));
        assert!(allowance.take(1, start + Duration::from_millis(1_000)));
        assert!(allowance.take(9, start + Duration::from_millis(1_001)));
    }

    #[test]
    fn time_that_makes_less_than_a_byte_is_not_lost() {
        let start = Instant::now();
        let mut allowance = Allowance::new(RATE, start);
        assert!(allowance.take(100, start));
        for millisecond in 1..1_000 {
            assert!(!allowance.take(1, start + Duration::from_millis(millisecond)));
        }
        assert!(allowance.take(10, start + Duration::from_secs(1)));
    }

    #[test]
    fn a_clock_that_goes_back_and_one_that_leaps_do_no_harm() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut allowance = Allowance::new(RATE, start);
        assert!(allowance.take(100, start));
        assert!(!allowance.take(1, start - Duration::from_secs(5)));
        assert!(allowance.take(100, start + Duration::from_secs(1 << 40)));
    }
}
