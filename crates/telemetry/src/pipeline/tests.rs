//! Promise: traces arrive at their destinations. The receivers use real sockets.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming as Body};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::*;
use crate::test_support::{Buffer, Incoming, exact, outgoing};
use crate::{LogConfig, MetricsConfig, OtlpConfig, OtlpProtocol, TreeConfig};

/// A timeout that only a failing test reaches, even on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

struct Collector {
    address: SocketAddr,
    requests: Receiver<ExportTraceServiceRequest>,
    _runtime: Runtime,
}

#[test]
fn a_filter_that_was_asked_in_vain_costs_no_line_of_the_log() {
    let config = LogConfig {
        filter: "info".to_owned(),
        ..LogConfig::default()
    };
    let buffer = Buffer::default();
    let writer = buffer.clone();
    let (log, _level) = log::layer(&config, move || writer.clone()).unwrap();
    // Created under a dispatcher that enables it, and unknown to the log's.
    let wants_all = Dispatch::new(tracing_subscriber::registry());
    let unwanted =
        tracing::dispatcher::with_default(&wants_all, || tracing::debug_span!("unwanted"));
    tracing::dispatcher::with_default(&dispatch(None, log), || {
        for number in 0..3 {
            // Like `tracing::enabled!`.
            let asked = unwanted.metadata().unwrap();
            tracing::dispatcher::get_default(|dispatch| dispatch.enabled(asked));
            tracing::info!(number, "wanted");
        }
    });
    let text = buffer.text();
    assert_eq!(text.matches("wanted").count(), 3, "{text}");
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap()
}

fn listen(runtime: &Runtime) -> (TcpListener, SocketAddr) {
    let listener = runtime
        .block_on(TcpListener::bind(("127.0.0.1", 0)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn grpc_collector() -> Collector {
    struct Service(Sender<ExportTraceServiceRequest>);
    #[tonic::async_trait]
    impl TraceService for Service {
        async fn export(
            &self,
            request: tonic::Request<ExportTraceServiceRequest>,
        ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
            let _ = self.0.send(request.into_inner());
            Ok(tonic::Response::new(Default::default()))
        }
    }
    let runtime = runtime();
    let (listener, address) = listen(&runtime);
    let (sender, requests) = channel();
    let incoming = {
        let _guard = runtime.enter();
        tonic::transport::server::TcpIncoming::from(listener)
    };
    runtime.spawn(
        tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(Service(sender)))
            .serve_with_incoming(incoming),
    );
    Collector {
        address,
        requests,
        _runtime: runtime,
    }
}

fn http_collector() -> Collector {
    let runtime = runtime();
    let (listener, address) = listen(&runtime);
    let (sender, requests) = channel();
    runtime.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            let service = service_fn(move |request: http::Request<Body>| {
                let sender = sender.clone();
                async move {
                    assert_eq!(request.uri().path(), "/v1/traces");
                    assert_eq!(request.headers()["content-type"], "application/x-protobuf");
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    let _ = sender.send(ExportTraceServiceRequest::decode(body).unwrap());
                    Ok::<_, Infallible>(http::Response::new(Full::<Bytes>::default()))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    Collector {
        address,
        requests,
        _runtime: runtime,
    }
}

fn config(protocol: OtlpProtocol, endpoint: String) -> TelemetryConfig {
    TelemetryConfig {
        otlp: Some(OtlpConfig {
            protocol,
            endpoint: Some(endpoint),
            ..OtlpConfig::default()
        }),
        ..TelemetryConfig::default()
    }
}

fn request() {
    let incoming = Incoming::get("http://shop.example/api/items");
    let server = incoming.start();
    drop(outgoing(
        &exact(&incoming.scope(&server)),
        "http://stock.example/",
    ));
}

/// Sends one request's spans by `config`, which arrive at `collector` before the shutdown returns.
fn arrives(config: TelemetryConfig, collector: &Collector) {
    let (dispatch, telemetry) = build(config).unwrap();
    tracing::dispatcher::with_default(&dispatch, request);
    telemetry.shutdown();
    let sent = collector.requests.recv_timeout(PATIENCE).unwrap();
    let [resource_spans] = &sent.resource_spans[..] else {
        panic!("{sent:?}");
    };
    let spans = &resource_spans.scope_spans[0].spans;
    assert_eq!(spans.len(), 2);
    assert_eq!(spans[0].parent_span_id, spans[1].span_id);
    let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
    assert!(
        attributes
            .iter()
            .any(|attribute| attribute.key == "service.name")
    );
}

#[test]
fn spans_arrive_over_grpc() {
    let collector = grpc_collector();
    let endpoint = format!("http://{}", collector.address);
    arrives(config(OtlpProtocol::Grpc, endpoint), &collector);
}

#[test]
fn spans_arrive_over_http() {
    let collector = http_collector();
    let endpoint = format!("http://{}/v1/traces", collector.address);
    arrives(config(OtlpProtocol::HttpProtobuf, endpoint), &collector);
}

#[test]
fn a_shutdown_in_a_current_thread_runtime_still_exports() {
    let collector = grpc_collector();
    let endpoint = format!("http://{}", collector.address);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async { arrives(config(OtlpProtocol::Grpc, endpoint), &collector) });
}

#[test]
fn a_dead_collector_does_not_hang_the_shutdown() {
    // Accepts, and never answers.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = silent.local_addr().unwrap();
    for protocol in [OtlpProtocol::Grpc, OtlpProtocol::HttpProtobuf] {
        let mut config = config(protocol, format!("http://{address}/v1/traces"));
        config.otlp.as_mut().unwrap().timeout = Duration::from_secs(3600);
        config.metrics = config.otlp.clone().map(|otlp| MetricsConfig {
            otlp,
            interval: Duration::from_secs(3600),
        });
        let (dispatch, telemetry) = build(config).unwrap();
        assert!(telemetry.metrics().enabled());
        telemetry
            .metrics()
            .queued(&"shop".into(), Duration::from_secs(1));
        tracing::dispatcher::with_default(&dispatch, request);
        let started = Instant::now();
        telemetry.shutdown();
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn only_request_spans_are_traced_whatever_the_log_filter_says() {
    for filter in ["off", "trace"] {
        let buffer = Buffer::default();
        let (dispatch, telemetry) = build(TelemetryConfig {
            log: LogConfig {
                filter: filter.to_owned(),
                ..LogConfig::default()
            },
            trace_tree: Some(TreeConfig {
                writer: Some(Box::new(buffer.clone())),
                color: false,
            }),
            ..TelemetryConfig::default()
        })
        .unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::error_span!(target: "h2::client", "connection").in_scope(|| {
                let _server = Incoming::get("http://shop.example/").start();
            });
        });
        telemetry.shutdown();
        let text = buffer.text();
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.starts_with("GET shop.example/"), "{text}");
    }
}

#[test]
fn a_span_that_outlives_the_shutdown_has_a_valid_context() {
    let buffer = Buffer::default();
    let (dispatch, telemetry) = build(TelemetryConfig {
        trace_tree: Some(TreeConfig {
            writer: Some(Box::new(buffer)),
            color: false,
        }),
        ..TelemetryConfig::default()
    })
    .unwrap();
    telemetry.shutdown();
    tracing::dispatcher::with_default(&dispatch, || {
        assert!(
            Incoming::get("http://a.example/")
                .start()
                .context()
                .is_valid()
        );
    });
}
