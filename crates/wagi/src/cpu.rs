use std::time::Duration;

use headwater_core::{Counters, RequestScope};

/// Measures the CPU time of one request's instance, poll by poll.
///
/// By the thread's own clock, so that nobody is ended for the time that others took from them. A guest
/// yields at each tick of the epoch, so a bound is overrun by no more than a tick.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    used: Duration,
    limit: Duration,
}

impl CpuMeter {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            used: Duration::ZERO,
            limit,
        }
    }

    /// Does one poll, and charges the request for it. Says whether the bound is passed.
    pub(crate) fn measure<T>(
        &mut self,
        scope: &RequestScope,
        poll: impl FnOnce() -> T,
    ) -> (T, bool) {
        let before = thread_time();
        let polled = poll();
        let time = thread_time().saturating_sub(before);
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Counters::add(&scope.counters().cpu_nanos, nanos);
        self.used = self.used.saturating_add(time);
        (polled, self.used > self.limit)
    }
}

#[cfg(unix)]
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Where threads have no such clock, the wall's.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
