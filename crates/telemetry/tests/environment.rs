//! OpenTelemetry's variables in a process: each case is a child process.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::convert::Infallible;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

use headwater_core::RequestId;
use headwater_telemetry::{OtlpConfig, ServerRequest, ServerSpan, TelemetryConfig, init};
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use prost::Message;
use tokio::net::TcpListener;

/// Runs in the child processes: one request, traced as the environment says.
#[test]
#[ignore = "run by the other tests, as a process of its own"]
fn child() {
    let telemetry = init(TelemetryConfig {
        otlp: OtlpConfig::from_env().unwrap(),
        ..TelemetryConfig::default()
    })
    .unwrap();
    ServerSpan::start(ServerRequest {
        id: RequestId::new(),
        method: &Method::GET,
        uri: &Uri::from_static("http://shop.example/"),
        version: Version::HTTP_11,
        headers: &HeaderMap::new(),
        service: "shop",
        route: "/...",
        client: None,
        server: None,
        parent: None,
        caller: None,
    })
    .end();
    telemetry.shutdown();
}

/// Returns what a collector receives from a child process with these variables, and at which path.
fn sent(variables: &[(&str, &str)]) -> Vec<(String, ExportTraceServiceRequest)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime
        .block_on(TcpListener::bind(("127.0.0.1", 0)))
        .unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (sender, requests): (_, Receiver<_>) = channel();
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let sender = sender.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let sender = sender.clone();
                async move {
                    let path = request.uri().path().to_owned();
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let _ = sender.send((path, ExportTraceServiceRequest::decode(body).unwrap()));
                    Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    });

    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored"])
        // The developer's environment may name a collector.
        .env_clear()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    // The child has received an answer to everything that it sent.
    requests.try_iter().collect()
}

fn resource(request: &ExportTraceServiceRequest, key: &str) -> String {
    let attributes = &request.resource_spans[0]
        .resource
        .as_ref()
        .unwrap()
        .attributes;
    let attribute = attributes.iter().find(|attribute| attribute.key == key);
    match attribute
        .unwrap()
        .value
        .as_ref()
        .unwrap()
        .value
        .as_ref()
        .unwrap()
    {
        Value::StringValue(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_endpoint_is_enough_and_the_service_is_called_headwater() {
    let sent = sent(&[]);
    assert_eq!(sent.len(), 1);
    let (path, request) = &sent[0];
    assert_eq!(path, "/v1/traces");
    assert_eq!(resource(request, "service.name"), "headwater");
}

#[test]
fn the_resource_is_what_the_environment_says() {
    let sent = sent(&[
        ("OTEL_SERVICE_NAME", "edge"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test"),
    ]);
    let (_, request) = &sent[0];
    assert_eq!(resource(request, "service.name"), "edge");
    assert_eq!(resource(request, "deployment.environment"), "test");
}

#[test]
fn nothing_is_sent_if_the_sampler_or_a_switch_says_so() {
    for off in [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
    ] {
        assert_eq!(sent(&[off]).len(), 0, "{off:?}");
    }
}
