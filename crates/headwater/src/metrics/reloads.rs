use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_telemetry::attributes::RELOAD_RESULT;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// The number of reloads so far. Cheap to clone; the clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reloads(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// The time at which the running configuration was loaded, in seconds since 1970.
    loaded: AtomicU64,
}

// === impl Reloads ===

impl Reloads {
    /// Records that the configuration was loaded now, for the first time.
    pub(crate) fn started(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        // Relaxed, because each number is independent and only reported.
        self.0.loaded.store(now, Ordering::Relaxed);
    }

    pub(crate) fn succeeded(&self) {
        self.0.succeeded.fetch_add(1, Ordering::Relaxed);
        self.started();
    }

    /// Records that a reload failed and changed nothing.
    pub(crate) fn failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }
}

pub(crate) fn observe_reloads(meter: &Meter, reloads: &Reloads) {
    let observed = reloads.clone();
    meter
        .u64_observable_counter("headwater.reload.attempts")
        .with_unit("{reload}")
        .with_description("Reloads of the configuration, by result")
        .with_callback(move |instrument| {
            let Counts {
                succeeded, failed, ..
            } = &*observed.0;
            for (result, count) in [("success", succeeded), ("failure", failed)] {
                let count = count.load(Ordering::Relaxed);
                instrument.observe(count, &[KeyValue::new(RELOAD_RESULT, result)]);
            }
        })
        .build();
    let observed = reloads.clone();
    meter
        .u64_observable_gauge("headwater.reload.last_success")
        .with_unit("s")
        .with_description(
            "Time at which the running configuration was loaded, in seconds since 1970",
        )
        .with_callback(move |instrument| {
            instrument.observe(observed.0.loaded.load(Ordering::Relaxed), &[]);
        })
        .build();
}

#[cfg(test)]
mod tests {
    use headwater_telemetry::TelemetryConfig;

    use super::*;

    #[test]
    fn reloads_are_counted_by_how_they_ended_and_a_failure_is_no_success() {
        let (_log, telemetry) = headwater_telemetry::build(TelemetryConfig {
            prometheus: true,
            ..TelemetryConfig::default()
        })
        .unwrap();
        let reloads = Reloads::default();
        observe_reloads(&telemetry.metrics().meter(), &reloads);
        reloads.started();
        let loaded = reloads.0.loaded.load(Ordering::Relaxed);
        reloads.failed();
        assert_eq!(reloads.0.loaded.load(Ordering::Relaxed), loaded);
        reloads.succeeded();
        reloads.failed();
        let text = telemetry.prometheus().unwrap().text();
        for line in [
            "headwater_reload_attempts_total{headwater_result=\"success\"} 1",
            "headwater_reload_attempts_total{headwater_result=\"failure\"} 2",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(
            loaded > 0 && text.contains("headwater_reload_last_success_seconds "),
            "{text}"
        );
        telemetry.shutdown();
    }
}
