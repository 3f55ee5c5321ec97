use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The times at which events were logged, by their keys: at most one line in an interval for each key.
#[derive(Debug)]
pub struct LogIntervals<K> {
    interval: Duration,
    logged: Mutex<HashMap<K, Logged>>,
}

#[derive(Debug)]
struct Logged {
    at: Instant,
    left_out: u64,
}

// === impl LogIntervals ===

impl<K: Eq + Hash> LogIntervals<K> {
    /// Logs an event with the same key no more often than this.
    #[must_use]
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            logged: Mutex::default(),
        }
    }

    /// Returns how many events were left out since the last line, or `None` if this one is left out, too.
    pub fn due(&self, key: K, now: Instant) -> Option<u64> {
        let mut logged = self.logged.lock();
        match logged.get_mut(&key) {
            Some(logged) if now.saturating_duration_since(logged.at) < self.interval => {
                logged.left_out += 1;
                None
            }
            Some(logged) => {
                logged.at = now;
                Some(std::mem::take(&mut logged.left_out))
            }
            None => {
                let (at, left_out) = (now, 0);
                logged.insert(key, Logged { at, left_out });
                Some(0)
            }
        }
    }
}
