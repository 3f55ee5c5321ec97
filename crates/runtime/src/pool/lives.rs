//! Since when instances live, and for how long their guests held them: what the core, which knows no
//! time, cannot tell.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::pool::core::InstanceKey;

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

/// The lives of a pool's instances.
#[derive(Debug, Default)]
pub(crate) struct Lives(Mutex<Contents>);

#[derive(Debug, Default)]
struct Contents {
    alive: HashMap<InstanceKey, Life>,
    /// For how long guests held their instances, those not counted that hold them now.
    held: Duration,
}

#[derive(Debug)]
struct Life {
    began: Instant,
    /// Since when the guest applies backpressure.
    held: Option<Instant>,
}

impl Lives {
    /// An instance is being started.
    pub(crate) fn begin(&self, key: InstanceKey, now: Instant) {
        let life = Life {
            began: now,
            held: None,
        };
        self.lock().alive.insert(key, life);
    }

    /// The guest of an instance applies backpressure, or lets go.
    pub(crate) fn hold(&self, key: InstanceKey, held: bool, now: Instant) {
        let mut contents = self.lock();
        let Some(life) = contents.alive.get_mut(&key) else {
            return;
        };
        if held {
            life.held.get_or_insert(now);
        } else if let Some(since) = life.held.take() {
            contents.held += now - since;
        }
    }

    /// An instance is gone.
    pub(crate) fn end(&self, key: InstanceKey, now: Instant) {
        let mut contents = self.lock();
        if let Some(since) = contents.alive.remove(&key).and_then(|life| life.held) {
            contents.held += now - since;
        }
    }

    /// For how long guests held their instances by backpressure, in all and until now.
    pub(crate) fn held(&self, now: Instant) -> Duration {
        let contents = self.lock();
        let since = contents.alive.values().filter_map(|life| life.held);
        contents.held + since.map(|since| now - since).sum::<Duration>()
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
        let (lives, start) = (Lives::default(), Instant::now());
        let (a, b) = (InstanceKey(0), InstanceKey(1));
        lives.begin(a, start);
        lives.begin(b, start);
        lives.hold(a, true, start);
        lives.hold(b, true, start);
        assert_eq!(lives.held(start + SECOND), 2 * SECOND);
        lives.hold(a, false, start + SECOND);
        assert_eq!(lives.held(start + 2 * SECOND), 3 * SECOND);
        lives.end(b, start + 2 * SECOND);
        assert_eq!(lives.held(start + 9 * SECOND), 3 * SECOND);
    }

    #[test]
    fn to_say_the_same_again_changes_nothing() {
        let (lives, start) = (Lives::default(), Instant::now());
        let key = InstanceKey(0);
        lives.begin(key, start);
        lives.hold(key, true, start);
        lives.hold(key, true, start + SECOND);
        lives.hold(key, false, start + 2 * SECOND);
        lives.hold(key, false, start + 3 * SECOND);
        assert_eq!(lives.held(start + 4 * SECOND), 2 * SECOND);
    }

    #[test]
    fn an_instance_that_is_gone_has_no_age_and_no_life_again() {
        let (lives, start) = (Lives::default(), Instant::now());
        let key = InstanceKey(0);
        lives.begin(key, start);
        assert_eq!(lives.age(key, start + SECOND), SECOND);
        lives.end(key, start + SECOND);
        lives.hold(key, true, start + SECOND);
        assert_eq!(lives.age(key, start + SECOND), Duration::ZERO);
        assert_eq!(lives.held(start + 2 * SECOND), Duration::ZERO);
    }
}
