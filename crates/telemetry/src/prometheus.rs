//! Metrics as text for Prometheus.

use opentelemetry_prometheus::PrometheusExporter;
use prometheus::{Encoder, Registry, TextEncoder};

use crate::TelemetryError;

/// Renders metrics in Prometheus' text format. Cheap to clone.
///
/// Names follow OpenTelemetry's [rules for Prometheus]: `http.server.request.duration` is
/// `http_server_request_duration_seconds`.
///
/// [rules for Prometheus]: https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/
#[derive(Clone)]
pub struct Prometheus(Registry);

// === impl Prometheus ===

impl Prometheus {
    /// The media type of the text.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub(crate) fn new() -> Result<(PrometheusExporter, Self), TelemetryError> {
        let registry = Registry::new();
        let reader = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            // There is only one scope.
            .scope_info_enabled(false)
            .build()
            .map_err(|error| TelemetryError::Prometheus(error.to_string()))?;
        Ok((reader, Self(registry)))
    }

    /// Returns the current metrics. Collecting them takes a while: a few milliseconds with many services.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.0.gather(), &mut text) {
            tracing::error!(%error, "metrics cannot be rendered for Prometheus");
        }
        String::from_utf8_lossy(&text).into_owned()
    }
}

headwater_core::debug_fields!(Prometheus {});

#[cfg(test)]
mod tests;
