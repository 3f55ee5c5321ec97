//! Export over OTLP.
//!
//! The SDK drives exporters from plain threads, where neither tonic nor hyper can run. So exporters share a
//! small Tokio runtime, and each export runs there: it works with any runtimes of the program, and while they
//! shut down.

pub(crate) mod metrics;
mod outage;
pub(crate) mod traces;

use std::time::Duration;

use hyper_rustls::HttpsConnectorBuilder;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::{WithExportConfig, WithHttpConfig};
#[cfg(feature = "otlp-grpc")]
use opentelemetry_otlp::{WithTonicConfig, tonic_types::transport::ClientTlsConfig};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::watch;

use crate::resource::Resources;
use crate::{OtlpConfig, ServiceName, TelemetryConfig, TelemetryError};

/// The runtime of exports. Dropping it abandons them, and never blocks.
#[derive(Debug)]
pub(crate) struct ExportRuntime {
    handle: Handle,
    runtime: Option<Runtime>,
    /// True if exports that block their caller's thread must give up.
    stop: watch::Sender<bool>,
}

impl ExportRuntime {
    pub(crate) fn start() -> Result<Self, TelemetryError> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("otlp-export")
            .enable_all()
            .build()
            .map_err(TelemetryError::Thread)?;
        Ok(Self {
            handle: runtime.handle().clone(),
            runtime: Some(runtime),
            stop: watch::Sender::new(false),
        })
    }

    /// Makes exports that block their caller's thread give up after this time.
    pub(crate) fn stop_after(&self, time: Duration) {
        let stop = self.stop.clone();
        self.handle.spawn(async move {
            tokio::time::sleep(time).await;
            stop.send_replace(true);
        });
    }
}

impl Drop for ExportRuntime {
    fn drop(&mut self) {
        // Waiting for a timer of a runtime that is gone panics.
        self.stop.send_replace(true);
        // A plain drop would block, and panic in an asynchronous context.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl TelemetryConfig {
    /// Checks the settings of OTLP exports, as far as possible before anything is sent.
    ///
    /// # Errors
    ///
    /// Returns an error as [`init`](crate::init) does, for example if an endpoint is not a URL.
    pub fn check_exporters(&self) -> Result<(), TelemetryError> {
        let Self { otlp, metrics, .. } = self;
        if otlp.is_none() && metrics.is_none() {
            return Ok(());
        }
        let runtime = ExportRuntime::start()?;
        if let Some(metrics) = metrics {
            metrics::OtlpExporter::new(&metrics.otlp, &runtime)?;
        }
        if let Some(traces) = otlp {
            traces::OtlpExporter::new(traces, &runtime, Resources::new(ServiceName::Host))?;
        }
        Ok(())
    }
}

/// Configures an exporter over gRPC. Call `build` within the runtime: tonic spawns its connection there.
#[cfg(feature = "otlp-grpc")]
fn grpc<B: WithExportConfig + WithTonicConfig>(builder: B, config: &OtlpConfig) -> B {
    let mut builder = builder.with_timeout(config.timeout);
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if config.tls {
        builder = builder.with_tls_config(ClientTlsConfig::new().with_native_roots());
    }
    builder
}

fn http<B: WithExportConfig + WithHttpConfig>(builder: B, config: &OtlpConfig) -> B {
    let mut builder = builder
        .with_protocol(opentelemetry_otlp::Protocol::HttpBinary)
        .with_timeout(config.timeout)
        .with_http_client(http_client(config));
    if let Some(endpoint) = &config.endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    builder
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use opentelemetry_sdk::metrics::data::ResourceMetrics;
    use opentelemetry_sdk::metrics::exporter::PushMetricExporter;
    use opentelemetry_sdk::trace::SpanExporter;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::test_support::Buffer;
    use crate::{LogConfig, OtlpProtocol, log};

    #[test]
    fn an_outage_is_logged_once_with_the_remedy_and_is_no_error_of_the_pipeline() {
        // Bound and closed again, so that nobody listens there.
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let text = Buffer::default();
        let writer = text.clone();
        let (layer, _level) = log::layer(&LogConfig::default(), move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
                let config = OtlpConfig {
                    protocol,
                    endpoint: Some(endpoint.clone()),
                    timeout: Duration::from_millis(50),
                    ..OtlpConfig::default()
                };
                let runtime = ExportRuntime::start().unwrap();
                let spans =
                    traces::OtlpExporter::new(&config, &runtime, Resources::new(ServiceName::Host))
                        .unwrap();
                let here = Builder::new_current_thread().build().unwrap();
                for _ in 0..2 {
                    here.block_on(spans.export(Vec::new())).unwrap();
                }
                let numbers = metrics::OtlpExporter::new(&config, &runtime).unwrap();
                for _ in 0..2 {
                    export_from_a_plain_thread(&numbers);
                }
            }
        });
        let text = text.text();
        for what in ["traces", "metrics"] {
            let line = format!("{what} cannot be exported over OTLP");
            assert_eq!(text.matches(&line).count(), 2, "{text}");
        }
        assert!(text.contains("OTEL_EXPORTER_OTLP_ENDPOINT"), "{text}");
    }

    #[test]
    fn an_endpoint_that_is_no_url_is_found_before_anything_is_sent() {
        for (endpoint, is_good) in [("http://127.0.0.1:1", true), ("http://[", false)] {
            for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
                let config = TelemetryConfig {
                    otlp: Some(OtlpConfig {
                        protocol,
                        endpoint: Some(endpoint.to_owned()),
                        ..OtlpConfig::default()
                    }),
                    ..TelemetryConfig::default()
                };
                let checked = config.check_exporters();
                assert_eq!(checked.is_ok(), is_good, "{endpoint}: {checked:?}");
            }
        }
    }

    /// Exports as the SDK's reader does: it blocks its thread.
    fn export_from_a_plain_thread(exporter: &metrics::OtlpExporter) {
        let metrics = ResourceMetrics::default();
        let export = pin!(exporter.export(&metrics));
        let exported = export.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(exported, Poll::Ready(Ok(()))));
    }
}
