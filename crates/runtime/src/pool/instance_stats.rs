//! The ages of instances, and the time that their guests held them. The scheduler has no clock and
//! cannot know these.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::pool::scheduler::InstanceKey;

/// The public view of one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceView {
    /// The number, as in the log: the first of a service is 0, and none is used twice.
    pub number: u64,
    /// The state.
    pub state: InstanceState,
    /// Requests in it.
    pub in_flight: usize,
    /// True if it takes no more because its guest applies backpressure or computes.
    pub held: bool,
    /// Requests that it may still get before it retires.
    pub remaining: usize,
    /// The age, including its start.
    pub age: Duration,
}

/// The state of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum InstanceState {
    /// Being started.
    Starting,
    /// Without work.
    Idle,
    /// With requests, or work that continues after them.
    Active,
    /// Finishing its work before it ends.
    Retiring,
}

impl InstanceState {
    /// Returns the label in logs and metrics.
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

/// The reason why an instance that does not compute takes no further request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Its guest applies backpressure.
    Backpressure,
    /// It is used serially, and its guest still works for a request that has its answer.
    WorkLeft,
}

/// The number of instances, and of those that take no further request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) alive: usize,
    pub(crate) backpressure: usize,
    pub(crate) work_left: usize,
}

#[derive(Debug, Default)]
pub(crate) struct InstanceStats(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    alive: HashMap<InstanceKey, Life>,
    /// The total time of past holds; current ones are not included.
    held: Duration,
}

#[derive(Debug)]
struct Life {
    began: Instant,
    /// The begin and reason of the current hold.
    held: Option<(Instant, Hold)>,
}

impl InstanceStats {
    pub(crate) fn begin(&self, key: InstanceKey, now: Instant) {
        let life = Life {
            began: now,
            held: None,
        };
        self.0.lock().alive.insert(key, life);
    }

    pub(crate) fn hold(&self, key: InstanceKey, hold: Option<Hold>, now: Instant) {
        let mut contents = self.0.lock();
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

    /// Counts the instances, and the held ones by reason.
    pub(crate) fn count(&self) -> Held {
        let contents = self.0.lock();
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

    pub(crate) fn end(&self, key: InstanceKey, now: Instant) {
        let mut contents = self.0.lock();
        if let Some((since, _)) = contents.alive.remove(&key).and_then(|life| life.held) {
            contents.held += now - since;
        }
    }

    /// Returns the total time that guests held their instances by backpressure, up to now.
    pub(crate) fn held(&self, now: Instant) -> Duration {
        let contents = self.0.lock();
        let held = contents.alive.values().filter_map(|life| life.held);
        contents.held + held.map(|(since, _)| now - since).sum::<Duration>()
    }

    /// Returns the age of an instance; zero if it is gone.
    pub(crate) fn age(&self, key: InstanceKey, now: Instant) -> Duration {
        let contents = self.0.lock();
        let life = contents.alive.get(&key);
        life.map_or(Duration::ZERO, |life| now - life.began)
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
