//! Export over OTLP.
//!
//! The SDK's batch processor drives an exporter from a plain thread, where neither tonic nor hyper
//! can run. So exporters have a small Tokio runtime of their own, and each export is a task on it:
//! it works however the program arranges its runtimes, and while they shut down.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::tonic_types::transport::ClientTlsConfig;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig, WithTonicConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanExporter};
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{OtlpConfig, OtlpProtocol, TelemetryError};

/// The runtime that exports run on. Dropping it abandons them, and never blocks.
#[derive(Debug)]
pub(crate) struct ExportRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl ExportRuntime {
    fn start() -> Result<Self, TelemetryError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp-export")
            .enable_all()
            .build()
            .map_err(TelemetryError::Thread)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for ExportRuntime {
    fn drop(&mut self) {
        // A plain drop would wait, and would panic in an asynchronous context.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A batching processor that exports to a collector, and what it runs on. Batching follows the
/// variables `OTEL_BSP_*`.
pub(crate) fn processor(
    config: &OtlpConfig,
) -> Result<(BatchSpanProcessor, ExportRuntime), TelemetryError> {
    let runtime = ExportRuntime::start()?;
    let exporter = OtlpExporter::new(config, &runtime)?;
    Ok((BatchSpanProcessor::builder(exporter).build(), runtime))
}

fn exporter(
    config: &OtlpConfig,
    runtime: &ExportRuntime,
) -> Result<opentelemetry_otlp::SpanExporter, TelemetryError> {
    let builder = opentelemetry_otlp::SpanExporter::builder();
    let endpoint = config.endpoint.as_deref();
    // tonic spawns its connection where the exporter is built.
    let _guard = runtime.handle.enter();
    Ok(match config.protocol {
        OtlpProtocol::Grpc => {
            let mut builder = builder.with_tonic().with_timeout(config.timeout);
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if config.tls {
                builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots());
            }
            builder.build()?
        }
        OtlpProtocol::HttpProtobuf => {
            let mut builder = builder
                .with_http()
                .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
                .with_timeout(config.timeout)
                .with_http_client(http_client(config));
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            builder.build()?
        }
    })
}

fn http_client(
    config: &OtlpConfig,
) -> HyperClient<hyper_rustls::HttpsConnector<hyper_util::client::legacy::connect::HttpConnector>> {
    let provider = rustls::crypto::ring::default_provider;
    let native = config.tls.then(|| {
        HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider())
            .inspect_err(|error| {
                tracing::warn!(
                    %error,
                    "the machine's root certificates cannot be read: no OTLP collector will be \
                     trusted over https"
                );
            })
            .ok()
    });
    let builder = native.flatten().unwrap_or_else(|| {
        HttpsConnectorBuilder::new().with_tls_config(
            rustls::ClientConfig::builder()
                .with_root_certificates(rustls::RootCertStore::empty())
                .with_no_client_auth(),
        )
    });
    HyperClient::new(
        builder.https_or_http().enable_http1().build(),
        config.timeout,
        None,
    )
}

#[derive(Debug)]
struct OtlpExporter {
    inner: Arc<opentelemetry_otlp::SpanExporter>,
    runtime: Handle,
    failing: AtomicBool,
}

impl OtlpExporter {
    fn new(config: &OtlpConfig, runtime: &ExportRuntime) -> Result<Self, TelemetryError> {
        Ok(Self {
            inner: Arc::new(exporter(config, runtime)?),
            runtime: runtime.handle.clone(),
            failing: AtomicBool::new(false),
        })
    }
}

impl SpanExporter for OtlpExporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let spans = batch.len();
        let inner = Arc::clone(&self.inner);
        let failure = match self
            .runtime
            .spawn(async move { inner.export(batch).await })
            .await
        {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(error) => Some(error.to_string()),
        };
        // Once per outage. The processor would log an `Err` for each batch.
        let was_failing = self.failing.swap(failure.is_some(), Ordering::Relaxed);
        match failure {
            Some(error) if !was_failing => tracing::warn!(
                %error, spans,
                "traces cannot be exported over OTLP and are lost until they can; check that the \
                 collector is up and OTEL_EXPORTER_OTLP_ENDPOINT names it"
            ),
            None if was_failing => tracing::info!("traces are exported over OTLP again"),
            Some(_) | None => {}
        }
        Ok(())
    }

    fn set_resource(&mut self, resource: &Resource) {
        // Called before the first export, when nobody else holds the exporter.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::test_support::Buffer;
    use crate::{LogConfig, log};

    #[test]
    fn an_outage_is_logged_once_with_the_remedy_and_is_no_error_of_the_pipeline() {
        // Bound and closed again, so nobody listens there.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let text = Buffer::default();
        let writer = text.clone();
        let layer = log::layer(&LogConfig::default(), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
                let config = OtlpConfig {
                    protocol,
                    endpoint: Some(endpoint.clone()),
                    timeout: Duration::from_millis(50),
                    ..OtlpConfig::default()
                };
                let runtime = ExportRuntime::start().unwrap();
                let exporter = OtlpExporter::new(&config, &runtime).unwrap();
                let here = Builder::new_current_thread().build().unwrap();
                for _ in 0..2 {
                    here.block_on(exporter.export(Vec::new())).unwrap();
                }
            }
        });
        let text = text.text();
        assert_eq!(
            text.matches("cannot be exported over OTLP").count(),
            2,
            "{text}"
        );
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{text}");
    }
}
