//! Since when instances live, and for how long their guests held them: what the core, which knows no
//! time, cannot tell.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pool::scheduler::InstanceKey;

/// One instance, as it is seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// Its number, as in the log: the first of a service is 0, and none is used twice.
    pub number: u64,
    /// What it does.
    pub state: InstanceState,
    /// Requests in it.
    pub in_flight: usize,
    /// Whether it takes no more because its guest applies backpressure or computes.
    pub held: bool,
    /// Requests that it may still be given before it retires.
    pub remaining: usize,
    /// Since when it is there, its start included.
    pub age: Duration,
}

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceState {
    /// It is being started.
    Starting,
    /// It has nothing to do.
    Idle,
    /// It has requests, or work that goes on after them.
    Active,
    /// It finishes what it has and ends.
    Retiring,
}

impl InstanceState {
    /// The label in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Retiring => "retiring",
        }
    }
}

/// Why an instance that does not compute takes no further request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Its guest applies backpressure.
    Backpressure,
    /// It is used serially, and its guest still works for a request that has its answer.
    WorkLeft,
}

/// How many instances there are, and how many of them take no further request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) alive: usize,
    pub(crate) backpressure: usize,
    pub(crate) work_left: usize,
}

/// The lives of a pool's instances.
#[derive(Debug, Default)]
pub(crate) struct InstanceStats(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    alive: HashMap<InstanceKey, Life>,
    /// For how long guests held their instances, those not counted that hold them now.
    held: Duration,
}

#[derive(Debug)]
struct Life {
    began: Instant,
    /// Since when it is held, and why.
    held: Option<(Instant, Hold)>,
}

impl InstanceStats {
    /// An instance is being started.
    pub(crate) fn begin(&self, key: InstanceKey, now: Instant) {
        let life = Life {
            began: now,
            held: None,
        };
        self.lock().alive.insert(key, life);
    }

    /// An instance is held from now on, or is no more.
    pub(crate) fn hold(&self, key: InstanceKey, hold: Option<Hold>, now: Instant) {
        let mut contents = self.lock();
        let Some(life) = contents.alive.get_mut(&key) else {
            return;
        };
        match (hold, life.held.take()) {
            (Some(hold), before) => {
                let since = before.map_or(now, |(since, _)| since);
                life.held = Some((since, hold));
            }
            (None, Some((since, _))) => contents.held += now - since,
            (None, None) => {}
        }
    }

    /// How many instances there are, and how many of them are held, and why.
    pub(crate) fn count(&self) -> Held {
        let contents = self.lock();
        let mut held = Held {
            alive: contents.alive.len(),
            ..Held::default()
        };
        for life in contents.alive.values() {
            match life.held {
                Some((_, Hold::Backpressure)) => held.backpressure += 1,
                Some((_, Hold::WorkLeft)) => held.work_left += 1,
                None => {}
            }
        }
        held
    }

    /// An instance is gone.
    pub(crate) fn end(&self, key: InstanceKey, now: Instant) {
        let mut contents = self.lock();
        if let Some((since, _)) = contents.alive.remove(&key).and_then(|life| life.held) {
            contents.held += now - since;
        }
    }

    /// For how long guests held their instances by backpressure, in all and until now.
    pub(crate) fn held(&self, now: Instant) -> Duration {
        let contents = self.lock();
        let held = contents.alive.values().filter_map(|life| life.held);
        contents.held + held.map(|(since, _)| now - since).sum::<Duration>()
    }

    /// For how long an instance is there; zero if it is not.
    pub(crate) fn age(&self, key: InstanceKey, now: Instant) -> Duration {
        let contents = self.lock();
        let life = contents.alive.get(&key);
        life.map_or(Duration::ZERO, |life| now - life.began)
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_time_under_backpressure_counts_for_each_instance_and_up_to_now() {
        let (stats, start) = (InstanceStats::default(), Instant::now());
        let (a, b) = (InstanceKey(0), InstanceKey(1));
        stats.begin(a, start);
        stats.begin(b, start);
        stats.hold(a, Some(Hold::Backpressure), start);
        stats.hold(b, Some(Hold::WorkLeft), start);
        let held = Held {
            alive: 2,
            backpressure: 1,
            work_left: 1,
        };
        assert_eq!(stats.count(), held);
        assert_eq!(stats.held(start + SECOND), 2 * SECOND);
        stats.hold(a, None, start + SECOND);
        assert_eq!(stats.held(start + 2 * SECOND), 3 * SECOND);
        stats.end(b, start + 2 * SECOND);
        assert_eq!(stats.held(start + 9 * SECOND), 3 * SECOND);
    }

    #[test]
    fn to_say_the_same_again_changes_nothing() {
        let (stats, start) = (InstanceStats::default(), Instant::now());
        let key = InstanceKey(0);
        stats.begin(key, start);
        stats.hold(key, Some(Hold::Backpressure), start);
        stats.hold(key, Some(Hold::WorkLeft), start + SECOND);
        stats.hold(key, None, start + 2 * SECOND);
        stats.hold(key, None, start + 3 * SECOND);
        assert_eq!(stats.held(start + 4 * SECOND), 2 * SECOND);
    }

    #[test]
    fn an_instance_that_is_gone_has_no_age_and_no_life_again() {
        let (stats, start) = (InstanceStats::default(), Instant::now());
        let key = InstanceKey(0);
        stats.begin(key, start);
        assert_eq!(stats.age(key, start + SECOND), SECOND);
        stats.end(key, start + SECOND);
        stats.hold(key, Some(Hold::Backpressure), start + SECOND);
        assert_eq!(stats.age(key, start + SECOND), Duration::ZERO);
        assert_eq!(stats.held(start + 2 * SECOND), Duration::ZERO);
    }
}
