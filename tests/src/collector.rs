//! A small OpenTelemetry collector: receives spans and metrics by OTLP over HTTP and over gRPC, on
//! one port.

use std::convert::Infallible;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::metrics::Metrics;
use crate::within;

/// The paths of OTLP over HTTP.
const HTTP_TRACES: &str = "/v1/traces";
const HTTP_METRICS: &str = "/v1/metrics";
/// The paths of OTLP over gRPC.
const GRPC_TRACES: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const GRPC_METRICS: &str = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

/// A running collector on a free port of 127.0.0.1. It stops when dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    received: Arc<Received>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Received {
    spans: watch::Sender<Vec<Span>>,
    metrics: watch::Sender<Metrics>,
}

impl Collector {
    /// Starts the collector.
    ///
    /// # Errors
    ///
    /// Returns an error if no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("binding a port for the collector")?;
        let url = format!("http://{}", listener.local_addr()?);
        let received = Arc::new(Received {
            spans: watch::Sender::new(Vec::new()),
            metrics: watch::Sender::new(Metrics::default()),
        });
        let sink = Arc::clone(&received);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sink = Arc::clone(&sink);
                tokio::spawn(async move {
                    let service = service_fn(move |request| receive(Arc::clone(&sink), request));
                    let _ = auto::Builder::new(TokioExecutor::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Ok(Self {
            url,
            received,
            task: task.abort_handle(),
        })
    }

    /// Returns the value for `OTEL_EXPORTER_OTLP_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Waits for the first span that `wanted` accepts.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Result<Span> {
        let mut spans = self.received.spans.subscribe();
        let spans = within(what, spans.wait_for(|spans| spans.iter().any(&wanted))).await??;
        let span = spans.iter().find(|span| wanted(span));
        span.cloned().context("a span that was there is gone")
    }

    /// Returns true if any span has arrived.
    #[must_use]
    pub fn has_spans(&self) -> bool {
        !self.received.spans.borrow().is_empty()
    }

    /// Returns true if any metric has arrived.
    #[must_use]
    pub fn has_metrics(&self) -> bool {
        self.received.metrics.borrow().iter().next().is_some()
    }

    /// Waits until `wanted` accepts the last received metrics, and returns them.
    ///
    /// # Errors
    ///
    /// Returns an error if it takes too long; the error has the metrics.
    pub async fn wait_for_metrics(
        &self,
        what: &str,
        wanted: impl Fn(&Metrics) -> bool,
    ) -> Result<Metrics> {
        let mut metrics = self.received.metrics.subscribe();
        let waited = within(what, metrics.wait_for(wanted)).await;
        match waited {
            Ok(metrics) => Ok(metrics?.clone()),
            Err(error) => {
                let metrics = self.received.metrics.borrow();
                Err(error.context(format!("the metrics are {:#?}", *metrics)))
            }
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    sink: Arc<Received>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let (metrics, grpc) = match request.uri().path() {
        HTTP_TRACES => (false, false),
        GRPC_TRACES => (false, true),
        HTTP_METRICS => (true, false),
        GRPC_METRICS => (true, true),
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    let Ok(body) = request.into_body().collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let mut body = body.to_bytes();
    if grpc {
        // A gRPC message starts with five bytes: a flag for compression, and its length.
        body.advance(body.len().min(5));
    }
    let decoded = if metrics {
        ExportMetricsServiceRequest::decode(body).map(|export| {
            sink.metrics.send_modify(|all| all.merge(export));
        })
    } else {
        ExportTraceServiceRequest::decode(body).map(|export| {
            let spans = export
                .resource_spans
                .into_iter()
                .flat_map(|resource| resource.scope_spans)
                .flat_map(|scope| scope.spans);
            sink.spans.send_modify(|all| all.extend(spans));
        })
    };
    if decoded.is_err() {
        return Ok(status(StatusCode::BAD_REQUEST));
    }
    // The reply is an empty message in both protocols.
    Ok(if grpc {
        grpc_reply()
    } else {
        status(StatusCode::OK)
    })
}

fn status(status: StatusCode) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut response = Response::new(Full::default().boxed_unsync());
    *response.status_mut() = status;
    response
}

fn grpc_reply() -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let body = Full::new(Bytes::from_static(&[0; 5])).with_trailers(async { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed_unsync());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
