use std::time::Instant;

use http::{Method, StatusCode, Version};

use crate::metrics::RequestStart;
use crate::{
    AccessConfig, AccessOutput, FileConfig, OtlpConfig, Telemetry, TelemetryConfig, build,
};

fn telemetry(config: TelemetryConfig) -> Telemetry {
    build(config).unwrap().1
}

fn request(telemetry: &Telemetry, service: &str) {
    let mut measure = telemetry.metrics().begin_request(RequestStart {
        method: &Method::GET,
        tls: false,
        version: Version::HTTP_11,
        service: &service.into(),
        route: &"/api/...".into(),
        started: Instant::now(),
    });
    measure.end(Some(StatusCode::OK), None);
}

#[test]
fn what_is_measured_is_prometheus_text_with_the_names_that_prometheus_wants() {
    let telemetry = telemetry(TelemetryConfig {
        prometheus: true,
        ..TelemetryConfig::default()
    });
    let prometheus = telemetry.prometheus().unwrap();
    request(&telemetry, "shop");
    request(&telemetry, "a\"b\\c\nd");
    request(&telemetry, "shop");
    let text = prometheus.text();
    for line in [
        "# TYPE http_server_request_duration_seconds histogram",
        "# TYPE http_server_active_requests gauge",
    ] {
        assert_eq!(text.matches(line).count(), 1, "{line}: {text}");
    }
    let count = |service: &str| {
        let service = format!("headwater_service=\"{service}\"");
        let mut lines = text.lines().filter(|line| {
            line.starts_with("http_server_request_duration_seconds_count{")
                && line.contains(&service)
                && line.contains("http_route=\"/api/...\"")
        });
        let count = lines.next().unwrap().rsplit_once(' ').unwrap().1.to_owned();
        assert!(lines.next().is_none(), "{text}");
        count
    };
    assert_eq!(count("shop"), "2");
    assert_eq!(count(r#"a\"b\\c\nd"#), "1");
    // Collected values stay for the next time.
    assert_eq!(prometheus.text(), text);
    telemetry.shutdown();
}

#[test]
fn records_that_an_output_loses_are_measured() {
    let telemetry = telemetry(TelemetryConfig {
        prometheus: true,
        audit_file: Some(FileConfig::at("/dev/null")),
        access: Some(AccessConfig {
            to: AccessOutput::File(FileConfig::at("/dev/null")),
            ..AccessConfig::default()
        }),
        ..TelemetryConfig::default()
    });
    let text = telemetry.prometheus().unwrap().text();
    for output in ["access_log", "audit_log", "log"] {
        let line = format!("\nheadwater_output_lost_total{{headwater_output=\"{output}\"}} ");
        assert!(text.contains(&line), "{text}");
    }
    telemetry.shutdown();
}

#[test]
fn it_is_only_there_if_asked_for_and_beside_an_export() {
    assert!(telemetry(TelemetryConfig::default()).prometheus().is_none());
    assert!(!telemetry(TelemetryConfig::default()).metrics().enabled());

    // Nobody listens there: the export fails, but the values here are right.
    let telemetry = telemetry(TelemetryConfig {
        prometheus: true,
        metrics: Some(crate::MetricsConfig {
            otlp: OtlpConfig {
                endpoint: Some("http://127.0.0.1:9/v1/metrics".to_owned()),
                ..OtlpConfig::default()
            },
            interval: std::time::Duration::from_secs(3600),
        }),
        ..TelemetryConfig::default()
    });
    request(&telemetry, "shop");
    let text = telemetry.prometheus().unwrap().text();
    assert!(
        text.contains("http_server_request_duration_seconds_count"),
        "{text}"
    );
    telemetry.shutdown();
}
