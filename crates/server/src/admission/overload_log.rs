//! Limits how often overloads are logged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The shortest time between two lines. A line for each refused request would cost most when the host has
/// least capacity: a client that sends too many requests would make it write as many lines.
const EACH: Duration = Duration::from_secs(1);

/// The overloads that were logged, by service and kind. The access log and the metrics record every one.
#[derive(Debug, Default)]
pub(crate) struct OverloadLog(Mutex<HashMap<(Arc<str>, &'static str), Logged>>);

#[derive(Debug)]
struct Logged {
    at: Instant,
    left_out: u64,
}

// === impl OverloadLog ===

impl OverloadLog {
    /// Returns how many were left out since the last line, or `None` if this one is left out, too.
    pub(crate) fn tell(&self, service: &Arc<str>, kind: &'static str, now: Instant) -> Option<u64> {
        let mut said = self.0.lock();
        let key = (Arc::clone(service), kind);
        match said.get_mut(&key) {
            Some(said) if now.saturating_duration_since(said.at) < EACH => {
                said.left_out += 1;
                None
            }
            Some(said) => {
                said.at = now;
                Some(std::mem::take(&mut said.left_out))
            }
            None => {
                said.insert(
                    key,
                    Logged {
                        at: now,
                        left_out: 0,
                    },
                );
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_kind_and_service_there_is_a_line_a_second_that_says_how_many_there_were() {
        let overload_log = OverloadLog::default();
        let (shop, stock): (Arc<str>, Arc<str>) = ("shop".into(), "stock".into());
        let start = Instant::now();
        assert_eq!(overload_log.tell(&shop, "in_flight", start), Some(0));
        for _ in 0..5 {
            assert_eq!(
                overload_log.tell(&shop, "in_flight", start + EACH / 2),
                None
            );
        }
        assert_eq!(overload_log.tell(&shop, "queue_full", start), Some(0));
        assert_eq!(overload_log.tell(&stock, "in_flight", start), Some(0));
        assert_eq!(overload_log.tell(&shop, "in_flight", start + EACH), Some(5));
        assert_eq!(overload_log.tell(&shop, "in_flight", start + EACH), None);
        assert_eq!(
            overload_log.tell(&shop, "in_flight", start + EACH * 2),
            Some(1)
        );
    }
}
