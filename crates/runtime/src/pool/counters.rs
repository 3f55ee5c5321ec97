use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use headwater_telemetry::Metrics;

use crate::pool::scheduler::Retirement;

/// What a pool has done since it was made, counted as it happens.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    started: AtomicU64,
    failed: AtomicU64,
    start_failures: AtomicU64,
    retired: [AtomicU64; Retirement::ALL.len()],
    queue_full: AtomicU64,
    queue_timeout: AtomicU64,
    instance_limit: AtomicU64,
    circuit_open: AtomicU64,
    retried: AtomicU64,
    waited: AtomicU64,
    waited_micros: AtomicU64,
    /// Where the waits go one by one.
    metrics: Metrics,
    service: Arc<str>,
}

/// What a pool has done since it was made.
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
    /// How long they waited, in all.
    pub wait: Duration,
    /// How long guests held their instances by backpressure, in all, those included that do so now.
    pub backpressure: Duration,
}

/// What is counted one by one.
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

/// Of several pools that served the same service one after the other.
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
        Self {
            metrics,
            service,
            ..Self::default()
        }
    }

    pub(crate) fn count(&self, what: Count) {
        let counter = match what {
            Count::Started => &self.started,
            Count::Failed => &self.failed,
            Count::StartFailed => &self.start_failures,
            Count::Retired(why) => &self.retired[why as usize],
            Count::QueueFull => &self.queue_full,
            Count::QueueTimeout => &self.queue_timeout,
            Count::InstanceLimit => &self.instance_limit,
            Count::CircuitOpen => &self.circuit_open,
            Count::Retried => &self.retried,
            Count::Waited(wait) => {
                let micros = u64::try_from(wait.as_micros()).unwrap_or(u64::MAX);
                self.waited_micros.fetch_add(micros, Ordering::Relaxed);
                self.metrics.queued(&self.service, wait);
                &self.waited
            }
        };
        // Read for reporting only; orders nothing.
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All but what is not counted here.
    pub(crate) fn totals(&self) -> PoolTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        PoolTotals {
            started: read(&self.started),
            failed: read(&self.failed),
            start_failures: read(&self.start_failures),
            retired: Retirement::ALL
                .iter()
                .map(|why| (why.as_str(), read(&self.retired[*why as usize])))
                .collect(),
            queue_full: read(&self.queue_full),
            queue_timeout: read(&self.queue_timeout),
            instance_limit: read(&self.instance_limit),
            circuit_open: read(&self.circuit_open),
            retried: read(&self.retried),
            waited: read(&self.waited),
            wait: Duration::from_micros(read(&self.waited_micros)),
            backpressure: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_counted_under_its_own_name() {
        let counters = Counters::default();
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
        let (first, second) = (Counters::default(), Counters::default());
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
