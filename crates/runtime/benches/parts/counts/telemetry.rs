//! The records of a request.

use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use headwater_core::{AccessFormat, RequestId};
use headwater_telemetry::metrics::RequestStart;
use headwater_telemetry::{
    AccessLog, ServerRequest, ServerSpan, Telemetry, TelemetryConfig, TreeConfig, init, propagation,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};

use super::rounds;
use super::server::{CLIENT, REQUESTED, headers};

/// The span of a request without tracing: an id and a context only.
pub(super) fn span_off(operations: u32) -> Result<()> {
    let _telemetry = init(TelemetryConfig::default())?;
    spans(operations, &headers())
}

/// The span of a request that is not sampled.
pub(super) fn span_unsampled(operations: u32) -> Result<()> {
    let _telemetry = unsampled(false)?;
    spans(operations, &headers())
}

/// The span of a request that is sampled, with its attributes, but without its export.
pub(super) fn span_sampled(operations: u32) -> Result<()> {
    let _telemetry = unsampled(false)?;
    let mut headers = headers();
    headers.insert(
        "traceparent",
        HeaderValue::from_static("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    );
    spans(operations, &headers)
}

fn spans(operations: u32, headers: &HeaderMap) -> Result<()> {
    let uri = Uri::from_static(REQUESTED);
    rounds(operations, |_| {
        let parent = propagation::extract(headers);
        let mut span = ServerSpan::start(ServerRequest {
            id: RequestId::new(),
            method: &Method::GET,
            uri: &uri,
            version: Version::HTTP_11,
            headers,
            service: "shop",
            route: "/shop/...",
            client: Some(CLIENT),
            server: None,
            parent: parent.as_ref(),
            caller: None,
        });
        span.response(StatusCode::OK);
        black_box(span).end();
        Ok(())
    })
}

/// Traces, which nobody keeps, by the caller's decision; and, if `prometheus`, metrics.
pub(super) fn unsampled(prometheus: bool) -> Result<Telemetry> {
    Ok(init(TelemetryConfig {
        trace_tree: Some(TreeConfig {
            writer: Some(Box::new(io::sink())),
            color: false,
        }),
        prometheus,
        ..TelemetryConfig::default()
    })?)
}

/// The metrics of a request, for Prometheus.
pub(super) fn metrics(operations: u32) -> Result<()> {
    let telemetry = unsampled(true)?;
    let metrics = telemetry.metrics();
    let (service, route): (Arc<str>, Arc<str>) = ("shop".into(), "/shop/...".into());
    rounds(operations, |_| {
        let mut measure = metrics.begin_request(RequestStart {
            method: &Method::GET,
            tls: false,
            version: Version::HTTP_11,
            service: &service,
            route: &route,
            started: Instant::now(),
        });
        measure.end(Some(StatusCode::OK), None);
        Ok(())
    })
}

pub(super) fn access_log() -> Result<AccessLog> {
    let sink = Box::new(io::sink());
    Ok(AccessLog::to_writer(AccessFormat::Json, 1.0, sink)?)
}
