use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use headwater_core::{Counters, Fault, RequestScope};

/// Measures the CPU time of one request's instance, poll by poll.
///
/// It reads the thread's own clock, so that no request is ended for the time that others used. A
/// guest yields at each tick of the epoch, so a limit is exceeded by at most one tick.
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

    /// Runs a module to its end, unless it exceeds the limit. Charges its time to the request.
    pub(crate) async fn run(
        mut self,
        scope: Arc<RequestScope>,
        module: impl Future<Output = Result<(), Fault>>,
    ) -> Result<(), Fault> {
        let mut module = pin!(module);
        std::future::poll_fn(|cx| {
            let (polled, exceeded) = self.measure(&scope, || module.as_mut().poll(cx));
            match polled {
                Poll::Pending if exceeded => Poll::Ready(Err(Fault::cpu_time())),
                polled => polled,
            }
        })
        .await
    }

    /// Runs one poll and charges its time to the request. Returns true if the limit is exceeded.
    fn measure<T>(&mut self, scope: &RequestScope, poll: impl FnOnce() -> T) -> (T, bool) {
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
    #[cfg(feature = "measure")]
    if headwater_runtime::measure::clocks_are_off() {
        return Duration::ZERO;
    }
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Returns the wall-clock time, where threads have no CPU clock.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}
