use std::path::{Path, PathBuf};

use headwater_core::{LogFormat, ServiceName};

use super::access_log::Rotate;
use super::{settings, words};
use crate::Count;

settings! {
    /// Traces and logs: the section `[telemetry]`. The standard `OTEL_*` variables say where traces
    /// are sent.
    #[command(next_help_heading = "Traces and logs")]
    pub struct TelemetrySettings {
        /// Append spans to a file, as OTLP JSON lines (the format of the collector's file exporter)
        /// [default: none]
        #[arg(long, value_name = "PATH", env = "HEADWATER_TRACE_FILE")]
        pub trace_file: Option<PathBuf>,

        /// Start a new trace file `hourly`, `daily`, at a size such as `100MiB`, or `never`
        /// [default: never]
        #[arg(long, value_name = "WHEN|SIZE", env = "HEADWATER_TRACE_FILE_ROTATE")]
        pub trace_file_rotate: Option<Rotate>,

        /// Number of old trace files to keep [default: all]
        #[arg(long, value_name = "N", env = "HEADWATER_TRACE_FILE_KEEP")]
        pub trace_file_keep: Option<Count>,

        /// Append the audit log to a file, as JSON lines: each denied outgoing request, and why
        /// [default: none]
        #[arg(long, value_name = "PATH", env = "HEADWATER_AUDIT_LOG")]
        pub audit_log: Option<PathBuf>,

        /// Start a new audit log file `hourly`, `daily`, at a size such as `100MiB`, or `never`
        /// [default: never]
        #[arg(long, value_name = "WHEN|SIZE", env = "HEADWATER_AUDIT_LOG_ROTATE")]
        pub audit_log_rotate: Option<Rotate>,

        /// Number of old audit log files to keep [default: all]
        #[arg(long, value_name = "N", env = "HEADWATER_AUDIT_LOG_KEEP")]
        pub audit_log_keep: Option<Count>,

        /// Print a tree for each request: on a terminal (`auto`), always, or never [default: auto]
        #[arg(long, value_name = "WHEN", env = "HEADWATER_TRACE_TREE")]
        pub trace_tree: Option<When>,

        /// The `service.name` of a service's spans: that of the host (`OTEL_SERVICE_NAME`, or
        /// `headwater`), or the service's own name [default: host]
        #[arg(long, value_name = "SOURCE", env = "HEADWATER_SERVICE_NAME")]
        pub service_name: Option<ServiceName>,

        /// Log filter, such as `info` or `headwater_runtime=debug,warn` [default: info]
        #[arg(long, value_name = "FILTER", env = "RUST_LOG")]
        pub log: Option<String>,

        /// Format of the log on standard error [default: text]
        #[arg(long, value_name = "FORMAT", env = "HEADWATER_LOG_FORMAT")]
        pub log_format: Option<LogFormat>,
    }
}

words! {
    /// The condition for printing something.
    pub enum When {
        /// On a terminal.
        Auto,
        /// Always.
        Always,
        /// Never.
        Never,
    }
}

// === impl TelemetrySettings ===

impl TelemetrySettings {
    pub(crate) fn within(&mut self, folder: &Path) {
        for file in [&mut self.trace_file, &mut self.audit_log]
            .into_iter()
            .flatten()
        {
            *file = folder.join(&*file);
        }
    }
}
