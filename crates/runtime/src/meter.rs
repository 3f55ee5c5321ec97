//! Whose CPU time an instance takes.
//!
//! wasmtime does not say which request a moment of a shared instance was spent on. Two things are
//! known: how long each poll of the instance took, and, at each tick of the epoch, which request's task
//! is running. So a poll that a tick interrupted is charged to the request that the tick found, and one
//! that none did (it is shorter than a tick) to the only request there is, or in equal shares to those
//! that are there. Only what is certain counts against `max_cpu_time`; where that is set, each of
//! wasmtime's work items is measured by itself, so that a tick says nothing of the items before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_core::{Counters, RequestId, RequestScope};

/// The CPU time of one instance.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: Option<Duration>,
    /// A tick of the epoch interrupted the guest.
    interrupted: AtomicBool,
    requests: Mutex<Requests>,
}

#[derive(Debug, Default)]
struct Requests {
    /// Those that came since the instance had nothing to do, but for those that are over.
    present: Vec<Present>,
    /// Of those that are over, some may have left work behind.
    leftovers: bool,
    /// What the last tick found.
    computing: Option<Arc<RequestScope>>,
    /// Since when nothing was charged.
    mark: Option<Mark>,
}

#[derive(Debug)]
struct Present {
    scope: Arc<RequestScope>,
    /// CPU time that was certainly its own.
    own: Duration,
}

/// A request took more CPU time than it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("request {request} took more CPU time than max_cpu_time ({} ms)", limit.as_millis())]
pub(crate) struct CpuTimeExceeded {
    /// Which.
    pub(crate) request: RequestId,
    limit: Duration,
}

/// A moment from which CPU time is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Mark {
    /// By the wall: cheap to read, and the same unless the thread was interrupted.
    Wall(Instant),
    /// By the thread's own clock: nobody is ended for the time that others took from him.
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

    /// The beginning of a poll, at this time. It must end on the same thread.
    pub(crate) fn begin(&self, now: Instant) {
        let mark = if self.limit.is_some() {
            Mark::of_thread()
        } else {
            Mark::Wall(now)
        };
        self.lock().mark = Some(mark);
    }

    /// The moment between two work items.
    pub(crate) fn between(&self) {
        if self.limit.is_some() {
            self.settle();
        }
    }

    /// Charges what was not charged yet, in the midst of a poll: an account is about to be read.
    pub(crate) fn settle(&self) {
        let mut requests = self.lock();
        let now = self.now();
        if let Some(mark) = requests.mark.replace(now) {
            // Nobody is ended here: the end of the poll comes soon enough.
            let _ = requests.charge(now.since(mark), self.limit);
        }
    }

    /// A request is started in the instance.
    pub(crate) fn enter(&self, scope: Arc<RequestScope>) {
        self.lock().present.push(Present {
            scope,
            own: Duration::ZERO,
        });
    }

    /// A tick of the epoch found the guest computing for this request, or for nobody knows whom.
    pub(crate) fn ticked(&self, scope: Option<&Arc<RequestScope>>) {
        // Read by the same task.
        self.interrupted.store(true, Ordering::Relaxed);
        self.lock().computing = scope.cloned();
    }

    /// Whether a tick interrupted the guest since this was asked last.
    pub(crate) fn take_interrupted(&self) -> bool {
        let interrupted = self.interrupted.load(Ordering::Relaxed);
        if interrupted {
            self.interrupted.store(false, Ordering::Relaxed);
        }
        interrupted
    }

    /// The instance has nothing to do: whoever comes next is alone.
    pub(crate) fn idle(&self) {
        // Nobody is ended for what is over.
        let _ = self.end();
        let mut requests = self.lock();
        requests.present.clear();
        requests.leftovers = false;
        requests.computing = None;
    }

    /// The end of a poll, or of one of its parts.
    pub(crate) fn end(&self) -> Result<(), CpuTimeExceeded> {
        let mut requests = self.lock();
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
        self.lock().charge(time, self.limit)
    }

    fn lock(&self) -> MutexGuard<'_, Requests> {
        // Nothing panics while it is held.
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// The entry of a request; one that was over and computes all the same has a new one.
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
    /// This moment by the thread's own clock, or by the wall where threads have none.
    pub(crate) fn of_thread() -> Self {
        #[cfg(unix)]
        return Self::Thread(thread_time());
        #[cfg(not(unix))]
        Self::Wall(Instant::now())
    }

    /// The time from an earlier moment, by the same clock, to this one.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        match (self, earlier) {
            (Self::Wall(now), Self::Wall(earlier)) => now.saturating_duration_since(earlier),
            #[cfg(unix)]
            (Self::Thread(now), Self::Thread(earlier)) => now.saturating_sub(earlier),
            // A meter keeps to its clock.
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
