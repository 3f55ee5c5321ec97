//! Token buckets, one for a service or one for each client.

use std::cell::Cell;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::admission::client_key::ClientKey;
use crate::admission::limits::Rate;

/// The slowest rate: one request in ten years.
const SLOWEST: Duration = Duration::from_secs(10 * 366 * 24 * 3_600);

/// When clients are forgotten.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// The number of clients above which those with a full bucket are forgotten.
    many: usize,
    /// The number of clients that are not idle above which all are forgotten. That gives each a new burst;
    /// other limits still bound the requests in flight.
    too_many: usize,
    /// The number of requests from one check to the next.
    every: u32,
}

#[derive(Debug)]
pub(crate) struct Bucket {
    limiter: DefaultDirectRateLimiter,
    clock: DefaultClock,
}

#[derive(Debug)]
pub(crate) struct ClientBuckets {
    quota: Quota,
    memory: Memory,
    limiter: ArcSwap<DefaultKeyedRateLimiter<ClientKey>>,
    clock: DefaultClock,
}

thread_local! {
    /// The number of requests that this thread has checked. Per thread, so that no thread waits for another's
    /// count.
    static ASKED: Cell<u32> = const { Cell::new(0) };
}

impl Memory {
    /// A client takes about 40 bytes, so these are a few MiB and some tens of MiB.
    const DEFAULT: Self = Self {
        many: 1 << 16,
        too_many: 1 << 20,
        every: 1 << 12,
    };
}

// === impl Bucket ===

impl Bucket {
    pub(crate) fn new(rate: Rate) -> Self {
        let clock = DefaultClock::default();
        Self {
            limiter: RateLimiter::direct_with_clock(quota(rate), clock.clone()),
            clock,
        }
    }

    pub(crate) fn take(&self) -> Result<(), Duration> {
        self.limiter
            .check()
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

// === impl ClientBuckets ===

impl ClientBuckets {
    pub(crate) fn new(rate: Rate) -> Self {
        Self::remembering(rate, Memory::DEFAULT)
    }

    fn remembering(rate: Rate, memory: Memory) -> Self {
        let (quota, clock) = (quota(rate), DefaultClock::default());
        Self {
            quota,
            memory,
            limiter: ArcSwap::from_pointee(RateLimiter::dashmap_with_clock(quota, clock.clone())),
            clock,
        }
    }

    /// Takes a token from the client's bucket, or returns the time until there is one.
    pub(crate) fn take(&self, client: IpAddr) -> Result<(), Duration> {
        let asked = ASKED.get().wrapping_add(1);
        ASKED.set(asked);
        if asked % self.memory.every == self.memory.every - 1 {
            self.sweep();
        }
        self.limiter
            .load()
            .check_key(&ClientKey::from(client))
            .map_err(|until| until.wait_time_from(self.clock.now()))
    }

    /// Forgets clients whose buckets are full again, and all clients if too many remain.
    fn sweep(&self) {
        let limiter = self.limiter.load();
        if limiter.len() <= self.memory.many {
            return;
        }
        limiter.retain_recent();
        limiter.shrink_to_fit();
        if limiter.len() > self.memory.too_many {
            let fresh = RateLimiter::dashmap_with_clock(self.quota, self.clock.clone());
            self.limiter.store(Arc::new(fresh));
        }
    }
}

fn quota(rate: Rate) -> Quota {
    let Rate {
        requests,
        period,
        burst,
    } = rate;
    // The clock cannot tell less than a nanosecond. governor holds the time that a bucket takes to fill as a
    // 64-bit number of nanoseconds, and panics or wraps beyond it.
    let each = (period / requests.get()).clamp(Duration::from_nanos(1), SLOWEST);
    let longest = Duration::from_nanos(u64::MAX / 4).as_nanos() / each.as_nanos();
    let burst = burst.min(u32::try_from(longest).map_or(burst, |most| {
        NonZeroU32::new(most).unwrap_or(NonZeroU32::MIN)
    }));
    let quota = Quota::with_period(each).unwrap_or(Quota::per_second(requests));
    quota.allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn rate(requests: u32, period: Duration, burst: u32) -> Rate {
        Rate {
            requests: NonZeroU32::new(requests).unwrap(),
            period,
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn v4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn a_burst_passes_and_the_next_is_told_when_to_come_back() {
        let bucket = Bucket::new(rate(2, HOUR, 3));
        for _ in 0..3 {
            assert_eq!(bucket.take(), Ok(()));
        }
        let wait = bucket.take().unwrap_err();
        assert!(
            wait > HOUR / 2 - Duration::from_secs(60) && wait <= HOUR / 2,
            "{wait:?}"
        );
    }

    #[test]
    fn rates_that_no_clock_can_tell_are_none_too_strict() {
        for period in [Duration::ZERO, Duration::from_nanos(1)] {
            let bucket = Bucket::new(rate(u32::MAX, period, 1));
            assert!(bucket.take().is_ok());
        }
        let never = Bucket::new(rate(1, Duration::MAX, 1));
        assert!(never.take().is_ok());
        assert!(never.take().is_err());
        let many = Bucket::new(rate(1, Duration::MAX, u32::MAX));
        assert!((0..10).all(|_| many.take().is_ok()));
    }

    #[test]
    fn each_client_has_a_bucket() {
        let buckets = ClientBuckets::new(rate(1, HOUR, 1));
        assert!(buckets.take(v4(1)).is_ok());
        assert!(buckets.take(v4(1)).is_err());
        assert!(buckets.take(v4(2)).is_ok());
        assert!(buckets.take("::ffff:192.0.2.2".parse().unwrap()).is_err());
    }

    #[test]
    fn clients_whose_buckets_are_full_again_are_forgotten_and_the_others_kept() {
        let memory = Memory {
            many: 0,
            too_many: 100,
            every: 1,
        };
        let quick = ClientBuckets::remembering(rate(1, Duration::from_nanos(1), 1), memory);
        for last in 0..100 {
            assert!(quick.take(v4(last)).is_ok());
        }
        assert!(quick.limiter.load().len() < 10);

        let slow = ClientBuckets::remembering(rate(1, HOUR, 1), memory);
        for last in 0..100 {
            assert!(slow.take(v4(last)).is_ok());
        }
        assert!((0..100).all(|last| slow.take(v4(last)).is_err()));
        // More clients than can be remembered: all are forgotten, and the memory stays bounded.
        for last in 100..=255 {
            assert!(slow.take(v4(last)).is_ok());
            assert!(slow.limiter.load().len() <= 102);
        }
    }
}
