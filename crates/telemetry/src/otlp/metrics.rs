use std::time::Duration;

use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::data::ResourceMetrics;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
use opentelemetry_sdk::metrics::{PeriodicReader, Temporality};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::outage::Outage;
use super::{ExportRuntime, http};
use crate::{MetricsConfig, OtlpConfig, OtlpProtocol, TelemetryError};

pub(crate) fn reader(
    config: &MetricsConfig,
    runtime: &ExportRuntime,
) -> Result<PeriodicReader<OtlpExporter>, TelemetryError> {
    let exporter = OtlpExporter::new(&config.otlp, runtime)?;
    let reader = PeriodicReader::builder(exporter).with_interval(config.interval);
    Ok(reader.build())
}

/// Exports from the thread of the SDK's reader, which is a plain one and blocks on it. Unlike
/// traces, metrics are only borrowed for the export, so no task can own them.
pub(crate) struct OtlpExporter {
    inner: opentelemetry_otlp::MetricExporter,
    runtime: Handle,
    stop: watch::Receiver<bool>,
    outage: Outage,
}

impl OtlpExporter {
    pub(super) fn new(
        config: &OtlpConfig,
        runtime: &ExportRuntime,
    ) -> Result<Self, TelemetryError> {
        let builder = opentelemetry_otlp::MetricExporter::builder();
        let _guard = runtime.handle.enter();
        let exporter = match config.protocol {
            #[cfg(feature = "otlp-grpc")]
            OtlpProtocol::Grpc => super::grpc(builder.with_tonic(), config).build(),
            OtlpProtocol::HttpProtobuf => http(builder.with_http(), config).build(),
        };
        Ok(Self {
            inner: exporter.map_err(TelemetryError::OtlpMetrics)?,
            runtime: runtime.handle.clone(),
            stop: runtime.stop.subscribe(),
            outage: Outage::new("metrics"),
        })
    }
}

impl PushMetricExporter for OtlpExporter {
    async fn export(&self, metrics: &ResourceMetrics) -> OTelSdkResult {
        let mut stop = self.stop.clone();
        let exported = self.runtime.block_on(async {
            tokio::select! {
                // First, because the other must not be polled once the runtime is gone.
                biased;
                _ = stop.wait_for(|stop| *stop) => Err("the host is shutting down".to_owned()),
                exported = self.inner.export(metrics) => {
                    exported.map_err(|error| error.to_string())
                }
            }
        });
        self.outage.note(exported);
        // The reader would log an `Err` for each export.
        Ok(())
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn temporality(&self) -> Temporality {
        self.inner.temporality()
    }
}

headwater_core::debug_fields!(OtlpExporter { outage });
