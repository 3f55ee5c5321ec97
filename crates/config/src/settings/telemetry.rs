use std::path::PathBuf;

use super::{settings, words};

settings! {
    /// Traces and logs: the section `[telemetry]`. Where traces are sent to is said by the standard
    /// `OTEL_*` variables.
    #[command(next_help_heading = "Traces and logs")]
    pub struct TelemetrySettings {
        /// Append spans to a file, as OTLP JSON lines (the format of the collector's file exporter)
        /// [default: none]
        #[arg(long, value_name = "PATH", env = "HEADWATER_TRACE_FILE")]
        pub trace_file: Option<PathBuf>,

        /// Append the audit log to a file, as JSON lines: each outgoing request that was denied, and why
        /// [default: none]
        #[arg(long, value_name = "PATH", env = "HEADWATER_AUDIT_LOG")]
        pub audit_log: Option<PathBuf>,

        /// Print a tree for each request: on a terminal, always, or never [default: auto]
        #[arg(long, value_name = "WHEN", env = "HEADWATER_TRACE_TREE")]
        pub trace_tree: Option<When>,

        /// What becomes of a `traceparent` that a guest sets on an outgoing request: it is kept,
        /// replaced by that of the outgoing request's own span, or replaced and linked to that span
        /// [default: keep]
        #[arg(long, value_name = "WHAT", env = "HEADWATER_GUEST_TRACEPARENT")]
        pub guest_traceparent: Option<GuestTraceparent>,

        /// Let outgoing requests carry the `x-request-id` of the request that they are made for
        /// [default: false]
        #[arg(
            long,
            value_name = "BOOL",
            env = "HEADWATER_FORWARD_REQUEST_ID",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true"
        )]
        pub forward_request_id: Option<bool>,

        /// What to log, as a filter such as `info` or `headwater_runtime=debug,warn` [default: info]
        #[arg(long, value_name = "FILTER", env = "RUST_LOG")]
        pub log: Option<String>,

        /// How to log, to standard error [default: text]
        #[arg(long, value_name = "FORMAT", env = "HEADWATER_LOG_FORMAT")]
        pub log_format: Option<LogFormat>,
    }
}

words! {
    /// When something is printed.
    pub enum When {
        /// On a terminal.
        Auto,
        /// In any case.
        Always,
        /// In no case.
        Never,
    }
}

words! {
    /// What becomes of a `traceparent` that a guest sets on an outgoing request.
    pub enum GuestTraceparent {
        /// It is sent.
        Keep,
        /// The outgoing request carries that of its own span.
        Replace,
        /// Likewise, and the span has a link to the guest's.
        Link,
    }
}

words! {
    /// How the log is written.
    pub enum LogFormat {
        /// As text.
        Text,
        /// As one JSON object a line.
        Json,
    }
}
