use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{Attribution, Doubt};
use http::{Method, StatusCode, Uri, Version};
use opentelemetry::metrics::MeterProvider;
use opentelemetry_sdk::metrics::data::{AggregatedMetrics, Metric, MetricData, ResourceMetrics};
use opentelemetry_sdk::metrics::{InMemoryMetricExporter, SdkMeterProvider};

use super::*;
use crate::test_support::Incoming;
use crate::{ClientRequest, ClientSpan};

/// Returns the metrics of `work` that a collector would receive.
fn measured(work: impl FnOnce(&Metrics)) -> Vec<ResourceMetrics> {
    let exporter = InMemoryMetricExporter::default();
    let provider = SdkMeterProvider::builder()
        .with_periodic_exporter(exporter.clone())
        .build();
    work(&Metrics::new(provider.meter("test")));
    provider.force_flush().unwrap();
    exporter.get_finished_metrics().unwrap()
}

fn metric<'a>(measured: &'a [ResourceMetrics], name: &str) -> &'a Metric {
    let mut metrics = measured
        .iter()
        .flat_map(ResourceMetrics::scope_metrics)
        .flat_map(|scope| scope.metrics());
    metrics.find(|metric| metric.name() == name).unwrap()
}

fn text<'a>(attributes: impl Iterator<Item = &'a KeyValue>) -> String {
    let mut pairs: Vec<_> = attributes
        .map(|pair| format!("{}={}", pair.key, pair.value))
        .collect();
    pairs.sort();
    pairs.join(" ")
}

fn get(metrics: &Metrics, service: &str, route: &str) -> RequestMeasure {
    metrics.begin_request(RequestStart {
        method: &Method::GET,
        tls: false,
        version: Version::HTTP_11,
        service: &service.into(),
        route: &route.into(),
        started: Instant::now(),
    })
}

#[test]
fn a_request_has_a_duration_under_the_attributes_of_the_conventions() {
    let measured = measured(|metrics| {
        get(metrics, "shop", "/api/...").end(Some(StatusCode::OK), None);
        get(metrics, "", "").end(Some(StatusCode::NOT_FOUND), Some("not_found".into()));
    });
    let AggregatedMetrics::F64(MetricData::Histogram(durations)) =
        metric(&measured, "http.server.request.duration").data()
    else {
        panic!("{measured:?}");
    };
    let mut found: Vec<_> = durations
        .data_points()
        .map(|point| (text(point.attributes()), point.count()))
        .collect();
    found.sort();
    let common = "http.request.method=GET";
    assert_eq!(
        found,
        [
            (
                format!(
                    "error.type=not_found {common} http.response.status_code=404 \
                     network.protocol.version=1.1 url.scheme=http"
                ),
                1
            ),
            (
                format!(
                    "headwater.service=shop {common} http.response.status_code=200 \
                     http.route=/api/... network.protocol.version=1.1 url.scheme=http"
                ),
                1
            ),
        ]
    );
    let bounds: Vec<_> = durations.data_points().next().unwrap().bounds().collect();
    assert_eq!(bounds, SECONDS);
}

/// More services and statuses than a thread keeps instruments for, each under two addresses.
#[test]
fn requests_of_many_services_and_statuses_are_all_measured_as_their_own() {
    const SERVICES: u16 = 700;
    let statuses =
        |number: u16| [200, 201 + number % 400].map(|status| StatusCode::from_u16(status).unwrap());
    let measured = measured(|metrics| {
        for _ in 0..2 {
            for number in 0..SERVICES {
                let service: Arc<str> = format!("s{number}").into();
                for status in statuses(number) {
                    get(metrics, &service, "/...").end(Some(status), None);
                    get(metrics, "one", "/...").end(Some(status), None);
                }
                metrics.queued(&service, Duration::from_millis(3));
            }
        }
    });
    let counts = |name| {
        let AggregatedMetrics::F64(MetricData::Histogram(durations)) =
            metric(&measured, name).data()
        else {
            panic!("{measured:?}");
        };
        let points = durations.data_points();
        points
            .map(|point| (text(point.attributes()), point.count()))
            .collect::<HashMap<_, _>>()
    };
    let durations = counts("http.server.request.duration");
    let waits = counts("headwater.pool.queue.wait");
    let count = |service: &str, status: u16| {
        let attributes = format!(
            "headwater.service={service} http.request.method=GET http.response.status_code={status} \
             http.route=/... network.protocol.version=1.1 url.scheme=http"
        );
        durations[&attributes]
    };
    for number in 0..SERVICES {
        let service = format!("s{number}");
        for status in statuses(number) {
            assert_eq!(count(&service, status.as_u16()), 2);
        }
        assert_eq!(waits[&format!("headwater.service={service}")], 2);
    }
    assert_eq!(count("one", 200), 2 * u64::from(SERVICES));
    // 400 other statuses in turn.
    assert_eq!((count("one", 201), count("one", 600)), (4, 2));
}

#[test]
fn a_request_is_active_until_it_ends_or_is_dropped() {
    let mut open = RequestMeasure::default();
    let measured = measured(|metrics| {
        open = get(metrics, "shop", "/...");
        get(metrics, "shop", "/...").end(None, None);
        drop(get(metrics, "shop", "/..."));
    });
    let AggregatedMetrics::I64(MetricData::Sum(active)) =
        metric(&measured, "http.server.active_requests").data()
    else {
        panic!("{measured:?}");
    };
    let found: Vec<_> = active
        .data_points()
        .map(|point| (text(point.attributes()), point.value()))
        .collect();
    let attributes = "headwater.service=shop http.request.method=GET url.scheme=http";
    assert_eq!(found, [(attributes.to_owned(), 1)]);
}

/// Returns the counts of a counter by attributes.
fn counted(measured: &[ResourceMetrics], name: &str) -> Vec<(String, u64)> {
    let AggregatedMetrics::U64(MetricData::Sum(counts)) = metric(measured, name).data() else {
        panic!("{measured:?}");
    };
    counts
        .data_points()
        .map(|point| (text(point.attributes()), point.value()))
        .collect()
}

#[test]
fn outgoing_calls_are_counted_by_service_verdict_and_witness() {
    let service: Arc<str> = "shop".into();
    let measured = measured(|metrics| {
        metrics.attributed(&service, &Attribution::unknown());
        metrics.attributed(&service, &Attribution::unknown());
    });
    let found = counted(&measured, "headwater.attribution.calls");
    let attributes =
        "headwater.attribution.witness=none headwater.attribution=unknown headwater.service=shop";
    assert_eq!(found, [(attributes.to_owned(), 2)]);
}

#[test]
fn calls_in_doubt_are_counted_by_service_and_reason() {
    let service: Arc<str> = "shop".into();
    let incoming = Incoming::get("http://shop.example/");
    let server = incoming.start();
    let doubtful = Attribution::doubtful(incoming.scope(&server), [], Doubt::Awaited);
    let measured = measured(|metrics| {
        metrics.attributed(&service, &doubtful);
        metrics.attributed(&service, &Attribution::unknown());
    });
    let found = counted(&measured, "headwater.attribution.doubts");
    let attributes = "headwater.attribution.doubt=awaited headwater.service=shop";
    assert_eq!(found, [(attributes.to_owned(), 1)]);
}

#[test]
fn an_outgoing_request_has_a_duration_when_its_span_ends_whether_it_is_traced_or_not() {
    let service: Arc<str> = "shop".into();
    let call = |metrics: &Metrics, uri: &'static str| {
        let uri = Uri::from_static(uri);
        let span = ClientSpan::start(ClientRequest {
            attribution: &Attribution::unknown(),
            service: &service,
            method: &Method::GET,
            uri: &uri,
        });
        span.measured_by(metrics.begin_outgoing(&service, &Method::GET, &uri))
    };
    let measured = measured(|metrics| {
        call(metrics, "http://[::1]:8080/x").response(StatusCode::OK, Version::HTTP_2);
        call(metrics, "https://a.example/").error("dns");
    });
    let AggregatedMetrics::F64(MetricData::Histogram(durations)) =
        metric(&measured, "http.client.request.duration").data()
    else {
        panic!("{measured:?}");
    };
    let mut found: Vec<_> = durations
        .data_points()
        .map(|point| (text(point.attributes()), point.count()))
        .collect();
    found.sort();
    let common = "headwater.service=shop http.request.method=GET";
    assert_eq!(
        found,
        [
            (
                format!(
                    "error.type=dns {common} server.address=a.example server.port=443 \
                     url.scheme=https"
                ),
                1
            ),
            (
                format!(
                    "{common} http.response.status_code=200 network.protocol.version=2 \
                     server.address=::1 server.port=8080 url.scheme=http"
                ),
                1
            ),
        ]
    );
}

#[test]
fn a_wait_in_the_queue_is_counted_in_seconds() {
    let measured = measured(|metrics| metrics.queued(&"shop".into(), Duration::from_millis(1500)));
    let AggregatedMetrics::F64(MetricData::Histogram(waits)) =
        metric(&measured, "headwater.pool.queue.wait").data()
    else {
        panic!("{measured:?}");
    };
    let sums: Vec<_> = waits.data_points().map(|point| point.sum()).collect();
    assert_eq!(sums, [1.5]);
}

#[test]
fn the_default_measures_nothing() {
    let metrics = Metrics::default();
    assert!(!metrics.enabled());
    get(&metrics, "shop", "/...").end(Some(StatusCode::OK), None);
    let observed = Arc::new(());
    let held = observed.clone();
    metrics
        .meter()
        .u64_observable_counter("anything")
        .with_callback(move |_| drop(held.clone()))
        .build();
    assert_eq!(Arc::strong_count(&observed), 1, "the callback is kept");
}
