use std::sync::atomic::{AtomicBool, Ordering};

/// The state of exports, so that an outage of the collector is logged once and not for each export.
#[derive(Debug)]
pub(super) struct Outage {
    what: &'static str,
    failing: AtomicBool,
}

impl Outage {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            failing: AtomicBool::new(false),
        }
    }

    pub(super) fn note(&self, exported: Result<(), String>) {
        let what = self.what;
        let was_failing = self.failing.swap(exported.is_err(), Ordering::Relaxed);
        match exported {
            Err(error) if !was_failing => tracing::warn!(
                %error,
                "{what} cannot be exported over OTLP and are lost until they can; check that the \
                 collector is up and OTEL_EXPORTER_OTLP_ENDPOINT names it"
            ),
            Ok(()) if was_failing => tracing::info!("{what} are exported over OTLP again"),
            Err(_) | Ok(()) => {}
        }
    }
}
