//! A small OpenTelemetry collector: receives spans by OTLP, over HTTP and over gRPC, on one port.

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
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::within;

/// The path of OTLP over HTTP.
const HTTP_PATH: &str = "/v1/traces";
/// The path of OTLP over gRPC.
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// A running collector on a free port of 127.0.0.1; ends when dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    spans: Arc<watch::Sender<Vec<Span>>>,
    task: AbortHandle,
}

impl Collector {
    /// Starts it.
    ///
    /// # Errors
    ///
    /// If no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))
            .await
            .context("binding a port for the collector")?;
        let url = format!("http://{}", listener.local_addr()?);
        let spans = Arc::new(watch::Sender::new(Vec::new()));
        let sink = Arc::clone(&spans);
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
            spans,
            task: task.abort_handle(),
        })
    }

    /// What to set `OTEL_EXPORTER_OTLP_ENDPOINT` to.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The first span that `wanted` accepts, once it has arrived.
    ///
    /// # Errors
    ///
    /// If it takes too long.
    pub async fn wait_for(&self, what: &str, wanted: impl Fn(&Span) -> bool) -> Result<Span> {
        let mut spans = self.spans.subscribe();
        let spans = within(what, spans.wait_for(|spans| spans.iter().any(&wanted))).await??;
        let span = spans.iter().find(|span| wanted(span));
        span.cloned().context("a span that was there is gone")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn receive(
    sink: Arc<watch::Sender<Vec<Span>>>,
    request: Request<Incoming>,
) -> Result<Response<UnsyncBoxBody<Bytes, Infallible>>, Infallible> {
    let grpc = match request.uri().path() {
        HTTP_PATH => false,
        GRPC_PATH => true,
        _ => return Ok(status(StatusCode::NOT_FOUND)),
    };
    let Ok(body) = request.into_body().collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let mut body = body.to_bytes();
    if grpc {
        // A gRPC message has five bytes before it: whether it is compressed, and its length.
        body.advance(body.len().min(5));
    }
    let Ok(export) = ExportTraceServiceRequest::decode(body) else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let spans = export
        .resource_spans
        .into_iter()
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans);
    sink.send_modify(|all| all.extend(spans));
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
