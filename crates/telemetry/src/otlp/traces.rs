use std::sync::Arc;

use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanExporter};
use tokio::runtime::Handle;

use super::outage::Outage;
use super::{ExportRuntime, grpc, http};
use crate::{OtlpConfig, OtlpProtocol, TelemetryError};

/// A batching processor that exports to a collector. Batching follows the variables `OTEL_BSP_*`.
pub(crate) fn processor(
    config: &OtlpConfig,
    runtime: &ExportRuntime,
) -> Result<BatchSpanProcessor, TelemetryError> {
    let exporter = OtlpExporter::new(config, runtime)?;
    Ok(BatchSpanProcessor::builder(exporter).build())
}

#[derive(Debug)]
pub(super) struct OtlpExporter {
    inner: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    outage: Outage,
}

impl OtlpExporter {
    pub(super) fn new(
        config: &OtlpConfig,
        runtime: &ExportRuntime,
    ) -> Result<Self, TelemetryError> {
        let builder = opentelemetry_otlp::SpanExporter::builder();
        let _guard = runtime.handle.enter();
        let exporter = match config.protocol {
            OtlpProtocol::Grpc => grpc(builder.with_tonic(), config).build(),
            OtlpProtocol::HttpProtobuf => http(builder.with_http(), config).build(),
        };
        Ok(Self {
            inner: Arc::new(exporter.map_err(TelemetryError::OtlpTraces)?),
            runtime: runtime.handle.clone(),
            outage: Outage::new("traces"),
        })
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let inner = Arc::clone(&self.inner);
        let exported = self
            .runtime
            .spawn(async move { inner.export(batch).await })
            .await;
        self.outage.note(match exported {
            Ok(exported) => exported.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        });
        // The processor would log an `Err` for each batch.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Called before the first export, when nobody else holds the exporter.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}
