use std::collections::HashMap;
use std::sync::Arc;

use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanExporter};
use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::outage::Outage;
use super::{ExportRuntime, http};
use crate::resource::Resources;
use crate::{OtlpConfig, OtlpProtocol, TelemetryError};

/// Returns a batching processor that exports to a collector. Batching follows the variables `OTEL_BSP_*`.
pub(crate) fn processor(
    config: &OtlpConfig,
    runtime: &ExportRuntime,
    resources: Resources,
) -> Result<BatchSpanProcessor, TelemetryError> {
    let exporter = OtlpExporter::new(config, runtime, resources)?;
    Ok(BatchSpanProcessor::builder(exporter).build())
}

/// An exporter of spans, by resource: the library's exporter sends all under one resource. So there is one
/// for the host from the start, and one for each service once it has spans.
#[derive(Debug)]
pub(super) struct OtlpExporter {
    config: OtlpConfig,
    by_service: Mutex<HashMap<Option<String>, Arc<opentelemetry_otlp::SpanExporter>>>,
    resources: Resources,
    runtime: Handle,
    outage: Outage,
}

impl OtlpExporter {
    pub(super) fn new(
        config: &OtlpConfig,
        runtime: &ExportRuntime,
        resources: Resources,
    ) -> Result<Self, TelemetryError> {
        let exporter = Self {
            config: config.clone(),
            by_service: Mutex::default(),
            resources,
            runtime: runtime.handle.clone(),
            outage: Outage::new("traces"),
        };
        // Wrong environment variables are an error at the start.
        exporter.of(None).map_err(TelemetryError::OtlpTraces)?;
        Ok(exporter)
    }

    fn of(
        &self,
        service: Option<String>,
    ) -> Result<Arc<opentelemetry_otlp::SpanExporter>, ExporterBuildError> {
        let mut by_service = self.by_service.lock();
        if let Some(exporter) = by_service.get(&service) {
            return Ok(exporter.clone());
        }
        let builder = opentelemetry_otlp::SpanExporter::builder();
        let _guard = self.runtime.enter();
        let mut exporter = match self.config.protocol {
            #[cfg(feature = "otlp-grpc")]
            OtlpProtocol::Grpc => super::grpc(builder.with_tonic(), &self.config).build(),
            OtlpProtocol::HttpProtobuf => http(builder.with_http(), &self.config).build(),
        }?;
        exporter.set_resource(&self.resources.of(service.as_deref()));
        let exporter = Arc::new(exporter);
        by_service.insert(service, exporter.clone());
        Ok(exporter)
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        for (service, spans) in self.resources.split(batch) {
            let exported = match self.of(service) {
                Ok(inner) => {
                    let exported = async move { inner.export(spans).await };
                    match self.runtime.spawn(exported).await {
                        Ok(exported) => exported.map_err(|error| error.to_string()),
                        Err(error) => Err(error.to_string()),
                    }
                }
                Err(error) => Err(error.to_string()),
            };
            self.outage.note(exported);
        }
        // The processor would log an `Err` for each batch.
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Called before the first export; the exporters made at the start had no resource.
        self.resources.set_host(resource);
        self.by_service.get_mut().clear();
    }
}
