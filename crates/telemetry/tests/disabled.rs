//! Needs a process of its own: callsites are enabled for all dispatchers together.

use headwater_telemetry::{LogConfig, TARGET, TelemetryConfig, build};

#[test]
fn without_traces_request_spans_are_disabled_at_their_callsite_whatever_is_logged() {
    let (dispatch, telemetry) = build(TelemetryConfig {
        log: LogConfig {
            filter: "trace".to_owned(),
            ..LogConfig::default()
        },
        ..TelemetryConfig::default()
    })
    .unwrap();
    assert!(!telemetry.traces());
    tracing::dispatcher::with_default(&dispatch, || {
        assert!(!tracing::span_enabled!(target: TARGET, tracing::Level::INFO));
        assert!(tracing::info_span!(target: TARGET, "server").is_disabled());
        assert!(tracing::event_enabled!(tracing::Level::TRACE));
    });
    telemetry.shutdown();
}
