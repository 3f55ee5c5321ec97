//! The audit log in a file: JSON lines of its own target only.

use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::{Layer, fmt};

use crate::log::LogLayer;
use crate::output::OutputWriter;

const TARGET: &str = "headwater::audit";

/// Returns a layer that writes each event of the audit log, with its fields beside time and
/// message.
pub(crate) fn layer(writer: OutputWriter) -> LogLayer {
    let audit: FilterFn = filter_fn(|metadata| metadata.is_event() && metadata.target() == TARGET);
    fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(writer)
        .log_internal_errors(false)
        .with_filter(audit)
        .boxed()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use crate::{FileConfig, LogConfig, TelemetryConfig, build};

    #[test]
    fn the_audit_log_s_lines_are_in_the_file_whatever_the_log_shows_and_no_others() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (dispatch, telemetry) = build(TelemetryConfig {
            log: LogConfig {
                filter: "off".to_owned(),
                ..LogConfig::default()
            },
            audit_file: Some(FileConfig::at(&path)),
            ..TelemetryConfig::default()
        })
        .unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::warn!(target: "headwater::audit", service = "a\nb", left_out = 3, "denied");
            tracing::warn!(target: "headwater::audit_of_others", "another");
            tracing::error!("another");
        });
        telemetry.shutdown();
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(lines[0]).unwrap();
        assert_eq!(line["message"], "denied");
        assert_eq!(line["service"], "a\nb");
        assert_eq!(line["left_out"], 3);
        assert_eq!(line["target"], "headwater::audit");
        assert!(line["timestamp"].is_string(), "{line}");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_named() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("missing/audit.jsonl");
        let config = TelemetryConfig {
            audit_file: Some(FileConfig::at(&path)),
            ..TelemetryConfig::default()
        };
        let error = build(config).unwrap_err().to_string();
        assert!(error.contains("the audit log"), "{error}");
        assert!(error.contains("missing/audit.jsonl"), "{error}");
    }
}
