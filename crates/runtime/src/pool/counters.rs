use std::ops::AddAssign;
use std::sync::Arc;
use std::time::Duration;

use headwater_telemetry::Metrics;
use parking_lot::Mutex;

use crate::pool::scheduler::Retirement;

/// The counters of a pool, updated as things happen. Little is counted for each request.
#[derive(Debug)]
pub(crate) struct Counters {
    /// Without the time of backpressure, which is not counted here.
    totals: Mutex<PoolTotals>,
    metrics: Metrics,
    service: Arc<str>,
}

/// The totals of a pool since it was made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolTotals {
    /// Instances that were started.
    pub started: u64,
    /// Instances that ended by a trap, or were ended beyond a deadline.
    pub failed: u64,
    /// Instances that could not be started.
    pub start_failures: u64,
    /// Instances that were retired, by cause.
    pub retired: Vec<(&'static str, u64)>,
    /// Requests refused because the queue was full.
    pub queue_full: u64,
    /// Requests refused because they had waited for too long.
    pub queue_timeout: u64,
    /// Requests refused because the engine had no place for an instance.
    pub instance_limit: u64,
    /// Requests refused because the service kept failing.
    pub circuit_open: u64,
    /// Requests that were tried once more because their instance failed.
    pub retried: u64,
    /// Requests that waited for an instance, and were given to one.
    pub waited: u64,
    /// Total time that they waited.
    pub wait: Duration,
    /// Total time that guests held their instances by backpressure, up to now.
    pub backpressure: Duration,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Count {
    Started,
    Failed,
    StartFailed,
    Retired(Retirement),
    QueueFull,
    QueueTimeout,
    InstanceLimit,
    CircuitOpen,
    Retried,
    Waited(Duration),
}

/// Adds up several pools that served the same service one after the other.
impl AddAssign<&Self> for PoolTotals {
    fn add_assign(&mut self, other: &Self) {
        let Self {
            started,
            failed,
            start_failures,
            retired,
            queue_full,
            queue_timeout,
            instance_limit,
            circuit_open,
            retried,
            waited,
            wait,
            backpressure,
        } = other;
        self.started += started;
        self.failed += failed;
        self.start_failures += start_failures;
        for (cause, count) in retired {
            match self.retired.iter_mut().find(|(known, _)| known == cause) {
                Some((_, sum)) => *sum += count,
                None => self.retired.push((cause, *count)),
            }
        }
        self.queue_full += queue_full;
        self.queue_timeout += queue_timeout;
        self.instance_limit += instance_limit;
        self.circuit_open += circuit_open;
        self.retried += retried;
        self.waited += waited;
        self.wait += *wait;
        self.backpressure += *backpressure;
    }
}

impl Counters {
    pub(crate) fn new(metrics: Metrics, service: Arc<str>) -> Self {
        let totals = PoolTotals {
            retired: Retirement::ALL.map(|why| (why.as_str(), 0)).into(),
            ..PoolTotals::default()
        };
        Self {
            totals: Mutex::new(totals),
            metrics,
            service,
        }
    }

    pub(crate) fn count(&self, what: Count) {
        if let Count::Waited(wait) = what {
            self.metrics.queued(&self.service, wait);
        }
        let mut totals = self.totals.lock();
        match what {
            Count::Started => totals.started += 1,
            Count::Failed => totals.failed += 1,
            Count::StartFailed => totals.start_failures += 1,
            Count::Retired(why) => totals.retired[why as usize].1 += 1,
            Count::QueueFull => totals.queue_full += 1,
            Count::QueueTimeout => totals.queue_timeout += 1,
            Count::InstanceLimit => totals.instance_limit += 1,
            Count::CircuitOpen => totals.circuit_open += 1,
            Count::Retried => totals.retried += 1,
            Count::Waited(wait) => {
                totals.waited += 1;
                totals.wait += wait;
            }
        }
    }

    /// Returns all totals but the time of backpressure.
    pub(crate) fn totals(&self) -> PoolTotals {
        self.totals.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        Counters::new(Metrics::default(), "test".into())
    }

    #[test]
    fn each_cause_is_counted_under_its_own_name() {
        let counters = counters();
        counters.count(Count::Retired(Retirement::Idle));
        counters.count(Count::Retired(Retirement::Idle));
        counters.count(Count::Waited(Duration::from_millis(3)));
        let totals = counters.totals();
        assert!(totals.retired.contains(&("idle", 2)));
        assert!(totals.retired.contains(&("served", 0)));
        assert_eq!((totals.waited, totals.wait), (1, Duration::from_millis(3)));
    }

    #[test]
    fn what_several_pools_did_is_added_up_by_cause() {
        let (first, second) = (counters(), counters());
        first.count(Count::Retired(Retirement::Idle));
        second.count(Count::Retired(Retirement::Idle));
        second.count(Count::Started);
        let mut sum = PoolTotals::default();
        sum += &first.totals();
        sum += &second.totals();
        assert!(sum.retired.contains(&("idle", 2)));
        assert_eq!(sum.retired.len(), Retirement::ALL.len());
        assert_eq!(sum.started, 1);
    }
}
