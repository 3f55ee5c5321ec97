//! Attributes the CPU time of an instance to requests.
//!
//! wasmtime does not say which request used a shared instance's CPU time. Two things are known: how
//! long each poll of the instance took, and, at each tick of the epoch, which request's task is
//! running. So a poll that a tick interrupted is charged to the request that the tick found. A poll
//! shorter than a tick is charged to the only request there is, or in equal shares to all present
//! requests. Only certain time counts against `max_cpu_time`. If that is set, each work item of
//! wasmtime is measured by itself, so that the request of a tick is not charged for earlier items.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use headwater_core::{Counters, RequestId, RequestScope};
use parking_lot::Mutex;

#[derive(Debug)]
pub(crate) struct Meter {
    limit: Option<Duration>,
    /// True if a tick of the epoch interrupted the guest.
    interrupted: AtomicBool,
    requests: Mutex<Requests>,
}

#[derive(Debug, Default)]
struct Requests {
    /// The requests that came since the instance was last idle, without those that are over.
    present: Vec<Present>,
    /// True if a request that is over may have left work behind.
    leftovers: bool,
    computing: Option<Arc<RequestScope>>,
    /// The time up to which everything was charged.
    mark: Option<Mark>,
}

#[derive(Debug)]
struct Present {
    scope: Arc<RequestScope>,
    /// CPU time that is certainly its own.
    own: Duration,
}

/// A request exceeded its CPU time limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request {request} took more CPU time than max_cpu_time ({} ms)", limit.as_millis())]
pub(crate) struct CpuTimeExceeded {
    pub(crate) request: RequestId,
    limit: Duration,
}

/// A point in time from which CPU time is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// Wall-clock time: cheap to read, and accurate unless the thread was interrupted.
    Wall(Instant),
    /// The thread's own clock, so that no request is ended for time that other threads took.
    #[cfg(unix)]
    Thread(Duration),
}

impl Meter {
    pub(crate) fn new(limit: Option<Duration>) -> Self {
        Self {
            limit,
            interrupted: AtomicBool::new(false),
            requests: Mutex::default(),
        }
    }

    /// Begins a poll at this time. It must end on the same thread.
    pub(crate) fn begin(&self, now: Instant) {
        let mark = if self.limit.is_some() {
            Mark::of_thread()
        } else {
            Mark::Wall(now)
        };
        self.requests.lock().mark = Some(mark);
    }

    /// Marks the boundary between two work items.
    pub(crate) fn between(&self) {
        if self.limit.is_some() {
            self.settle();
        }
    }

    /// Charges the time so far in the middle of a poll, before an account is read.
    pub(crate) fn settle(&self) {
        let mut requests = self.requests.lock();
        let now = self.now();
        if let Some(mark) = requests.mark.replace(now) {
            // The end of the poll, which follows soon, checks the limit.
            let _ = requests.charge(now.since(mark), self.limit);
        }
    }

    pub(crate) fn enter(&self, scope: Arc<RequestScope>) {
        self.requests.lock().present.push(Present {
            scope,
            own: Duration::ZERO,
        });
    }

    /// Records that a tick of the epoch found the guest computing for this request. `None` if unknown.
    pub(crate) fn ticked(&self, scope: Option<&Arc<RequestScope>>) {
        // The same task reads it.
        self.interrupted.store(true, Ordering::Relaxed);
        self.requests.lock().computing = scope.cloned();
    }

    /// Returns true if a tick interrupted the guest since the last call.
    pub(crate) fn take_interrupted(&self) -> bool {
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        if interrupted {
            self.interrupted.store(false, Ordering::Relaxed);
        }
        interrupted
    }

    /// Marks the instance as idle: the next request is alone.
    pub(crate) fn idle(&self) {
        // Requests that are over are not ended.
        let _ = self.end();
        let mut requests = self.requests.lock();
        requests.present.clear();
        requests.leftovers = false;
        requests.computing = None;
    }

    /// Ends a poll or one of its parts.
    pub(crate) fn end(&self) -> Result<(), CpuTimeExceeded> {
        let mut requests = self.requests.lock();
        match requests.mark.take() {
            Some(mark) => requests.charge(self.now().since(mark), self.limit),
            None => Ok(()),
        }
    }

    fn now(&self) -> Mark {
        if self.limit.is_some() {
            Mark::of_thread()
        } else {
            Mark::Wall(Instant::now())
        }
    }

    #[cfg(test)]
    fn charge(&self, time: Duration) -> Result<(), CpuTimeExceeded> {
        self.requests.lock().charge(time, self.limit)
    }
}

impl Requests {
    fn charge(&mut self, time: Duration, limit: Option<Duration>) -> Result<(), CpuTimeExceeded> {
        let certain = match self.computing.take() {
            Some(scope) => self.find(&scope),
            None if self.present.len() == 1 && !self.leftovers => self.present.first_mut(),
            None => {
                self.share(time);
                return Ok(());
            }
        };
        let Some(present) = certain else {
            return Ok(());
        };
        add(&present.scope, time);
        present.own += time;
        match limit {
            Some(limit) if present.own > limit => Err(CpuTimeExceeded {
                request: present.scope.id(),
                limit,
            }),
            _ => Ok(()),
        }
    }

    /// Returns the entry of a request. A request that was over and still computes gets a new one.
    fn find(&mut self, scope: &Arc<RequestScope>) -> Option<&mut Present> {
        let known = self
            .present
            .iter()
            .position(|present| Arc::ptr_eq(&present.scope, scope));
        let index = known.unwrap_or_else(|| {
            self.present.push(Present {
                scope: scope.clone(),
                own: Duration::ZERO,
            });
            self.present.len() - 1
        });
        self.present.get_mut(index)
    }

    fn share(&mut self, time: Duration) {
        let before = self.present.len();
        self.present.retain(|present| !present.scope.is_over());
        self.leftovers |= self.present.len() < before;
        let Ok(many) = u32::try_from(self.present.len()) else {
            return;
        };
        if many > 0 {
            for present in &self.present {
                add(&present.scope, time / many);
            }
        }
    }
}

impl Mark {
    /// Returns the time of the thread's own clock, or wall-clock time if threads have none.
    pub(crate) fn of_thread() -> Self {
        #[cfg(unix)]
        return Self::Thread(thread_time());
        #[cfg(not(unix))]
        Self::Wall(Instant::now())
    }

    /// Returns the time since an earlier point of the same clock.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        match (self, earlier) {
            (Self::Wall(now), Self::Wall(earlier)) => now.saturating_duration_since(earlier),
            #[cfg(unix)]
            (Self::Thread(now), Self::Thread(earlier)) => now.saturating_sub(earlier),
            // A meter never mixes clocks.
            #[cfg(unix)]
            _ => Duration::ZERO,
        }
    }
}

fn add(scope: &RequestScope, time: Duration) {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Counters::add(&scope.counters().cpu_nanos, nanos);
}

#[cfg(unix)]
fn thread_time() -> Duration {
    #[cfg(feature = "measure")]
    if crate::measure::clocks_are_off() {
        return Duration::ZERO;
    }
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::scope;

    const MS: Duration = Duration::from_millis(1);

    fn cpu(scope: &RequestScope) -> Duration {
        Duration::from_nanos(Counters::get(&scope.counters().cpu_nanos))
    }

    fn meter(limit: Option<Duration>, requests: &[&Arc<RequestScope>]) -> Meter {
        let meter = Meter::new(limit);
        for request in requests {
            meter.enter(Arc::clone(request));
        }
        meter
    }

    #[test]
    fn the_only_request_of_an_instance_is_charged_for_all_of_it() {
        let scope = scope();
        let meter = meter(Some(3 * MS), &[&scope]);
        for _ in 0..3 {
            meter.charge(MS).unwrap();
        }
        assert_eq!(cpu(&scope), 3 * MS);
        assert_eq!(meter.charge(MS).unwrap_err().request, scope.id());
    }

    #[test]
    fn requests_that_share_an_instance_share_its_time_and_nobody_is_ended_for_a_share() {
        let (a, b) = (scope(), scope());
        let meter = meter(Some(MS), &[&a, &b]);
        meter.charge(100 * MS).unwrap();
        assert_eq!((cpu(&a), cpu(&b)), (50 * MS, 50 * MS));
    }

    #[test]
    fn one_that_computes_beyond_a_tick_is_charged_alone() {
        let (a, b) = (scope(), scope());
        let meter = meter(Some(9 * MS), &[&a, &b]);
        meter.ticked(Some(&b));
        meter.charge(5 * MS).unwrap();
        meter.ticked(Some(&b));
        assert_eq!(meter.charge(5 * MS).unwrap_err().request, b.id());
        assert_eq!((cpu(&a), cpu(&b)), (Duration::ZERO, 10 * MS));
    }

    #[test]
    fn a_tick_that_finds_nobody_charges_nobody_for_certain() {
        let (a, b) = (scope(), scope());
        let meter = meter(Some(MS), &[&a, &b]);
        meter.ticked(None);
        meter.charge(5 * MS).unwrap();
    }

    #[test]
    fn work_that_a_request_left_behind_is_not_held_against_the_next_until_the_instance_was_idle() {
        let (gone, next) = (scope(), scope());
        let meter = meter(Some(MS), &[&gone, &next]);
        gone.end();
        meter.charge(MS).unwrap();
        assert_eq!(cpu(&gone), Duration::ZERO);
        meter.charge(5 * MS).unwrap();
        meter.idle();
        meter.enter(next.clone());
        assert!(meter.charge(5 * MS).is_err());
    }

    #[test]
    fn the_threads_clock_counts_what_the_thread_does() {
        let meter = Meter::new(Some(MS));
        let mark = meter.now();
        let started = Instant::now();
        while meter.now().since(mark) < MS / 10 {
            assert!(started.elapsed() < Duration::from_secs(10), "it stands");
        }
    }
}
