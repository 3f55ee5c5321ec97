//! How reloads of the configuration ended, as metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use headwater_telemetry::attributes::RELOAD_RESULT;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// The reloads so far. Cheap to clone; the clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reloads(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    succeeded: AtomicU64,
    failed: AtomicU64,
    /// When what is served now was loaded, in seconds since 1970.
    loaded: AtomicU64,
}

// === impl Reloads ===

impl Reloads {
    /// What is served was loaded just now, for the first time.
    pub(crate) fn started(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| since.as_secs());
        // Each number stands for itself; they are read for reporting only.
        self.0.loaded.store(now, Ordering::Relaxed);
    }

    /// Likewise, by a reload.
    pub(crate) fn succeeded(&self) {
        self.0.succeeded.fetch_add(1, Ordering::Relaxed);
        self.started();
    }

    /// A reload changed nothing.
    pub(crate) fn failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }
}

/// Makes the instruments that tell how reloads ended.
pub(crate) fn observe_reloads(meter: &Meter, reloads: &Reloads) {
    let observed = reloads.clone();
    meter
        .u64_observable_counter("headwater.reload.attempts")
        .with_unit("{reload}")
        .with_description("Reloads of the configuration, by how they ended")
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
        .with_description("When what is served now was loaded, in seconds since 1970")
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
