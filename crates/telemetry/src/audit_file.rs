//! The audit log in a file: JSON lines, of its own target only.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::Mutex;

use tracing_subscriber::filter::{FilterFn, filter_fn};
use tracing_subscriber::{Layer, fmt};

use crate::TelemetryError;
use crate::log::LogLayer;

/// Who writes to it is bound to be brief: each line is one write of the thread that it is about.
const TARGET: &str = "headwater::audit";

/// Appends each event of the audit log to the file at `path`, its fields beside time and message.
pub(crate) fn layer(path: &Path) -> Result<LogLayer, TelemetryError> {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(|source| TelemetryError::AuditFile {
            path: path.to_owned(),
            source,
        })?;
    let audit: FilterFn = filter_fn(|metadata| metadata.is_event() && metadata.target() == TARGET);
    Ok(fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_writer(Mutex::new(file))
        .with_filter(audit)
        .boxed())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::{LogConfig, TelemetryConfig, build};

    #[test]
    fn the_audit_log_s_lines_are_in_the_file_whatever_the_log_shows_and_no_others() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("audit.jsonl");
        let (dispatch, _telemetry) = build(TelemetryConfig {
            log: LogConfig {
                filter: "off".to_owned(),
                ..LogConfig::default()
            },
            audit_file: Some(path.clone()),
            ..TelemetryConfig::default()
        })
        .unwrap();
        tracing::dispatcher::with_default(&dispatch, || {
            tracing::warn!(target: "headwater::audit", service = "a\nb", left_out = 3, "denied");
            tracing::warn!(target: "headwater::audit_of_others", "another");
            tracing::error!("another");
        });
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
        let error = layer(&path).err().unwrap().to_string();
        assert!(error.contains("missing/audit.jsonl"), "{error}");
    }
}
