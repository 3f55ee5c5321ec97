//! Limits how often overloads are logged.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_telemetry::LogIntervals;

/// The shortest time between two lines. A line for each refused request would cost most when the host has
/// least capacity: a client that sends too many requests would make it write as many lines.
const EACH: Duration = Duration::from_secs(1);

/// The overloads that were logged, by service and kind. The access log and the metrics record every one.
#[derive(Debug)]
pub(crate) struct OverloadLog(LogIntervals<(Arc<str>, &'static str)>);

// === impl OverloadLog ===

impl OverloadLog {
    /// Returns how many were left out since the last line, or `None` if this one is left out, too.
    pub(crate) fn tell(&self, service: &Arc<str>, kind: &'static str, now: Instant) -> Option<u64> {
        self.0.due((Arc::clone(service), kind), now)
    }
}

impl Default for OverloadLog {
    fn default() -> Self {
        Self(LogIntervals::new(EACH))
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
