use std::path::PathBuf;

use crate::LogConfig;

/// Why telemetry could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The log filter cannot be read.
    #[error(
        "the log filter '{filter}' cannot be read: {source}; write a level ({levels}), or targets \
         with levels, such as 'info,headwater_egress=debug'",
        levels = LogConfig::LEVELS
    )]
    LogFilter {
        /// The filter as given.
        filter: String,
        /// The cause.
        source: tracing_subscriber::filter::ParseError,
    },

    /// A word of the log filter is not a level, and stands alone as only a level may. `tracing` would take it
    /// for a target's name, and log nothing else.
    #[error(
        "the log filter '{filter}' cannot be used: '{word}' is not a level; write one ({levels}), and a \
         target with one, such as 'info,headwater_egress=debug'",
        levels = LogConfig::LEVELS
    )]
    LogWord {
        /// The filter as given.
        filter: String,
        /// The word.
        word: String,
    },

    /// An output file cannot be opened.
    #[error(
        "{output} {} cannot be opened for appending: {source}; its directory must exist and be \
         writable",
        path.display()
    )]
    OutputFile {
        /// The output, such as `the access log`.
        output: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },

    /// A thread that writes outputs cannot be started.
    #[error("a thread that writes logs cannot be started: {0}")]
    OutputThread(#[source] std::io::Error),

    /// The log's filter can no longer be changed.
    #[error("the log's filter cannot be changed: the log has ended")]
    LogEnded,

    /// An environment variable has a value that cannot be used.
    #[error("the environment variable {variable} is '{value}'; expected {expected}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// The value.
        value: String,
        /// The values that are allowed.
        expected: &'static str,
    },

    /// The OTLP exporter of traces cannot be built.
    #[error(
        "traces cannot be exported over OTLP: {0}; check the variables OTEL_EXPORTER_OTLP_*, or \
         set OTEL_TRACES_EXPORTER=none"
    )]
    OtlpTraces(#[source] opentelemetry_otlp::ExporterBuildError),

    /// The OTLP exporter of metrics cannot be built.
    #[error(
        "metrics cannot be exported over OTLP: {0}; check the variables OTEL_EXPORTER_OTLP_*, or \
         set OTEL_METRICS_EXPORTER=none"
    )]
    OtlpMetrics(#[source] opentelemetry_otlp::ExporterBuildError),

    /// The reader of metrics for Prometheus cannot be built.
    #[error("metrics cannot be rendered for Prometheus: {0}")]
    Prometheus(String),

    /// The thread that exports over OTLP cannot be started.
    #[error("the thread that exports over OTLP cannot be started: {0}")]
    Thread(#[source] std::io::Error),

    /// [`init`](crate::init) was called twice, or another subscriber is installed.
    #[error("telemetry is already set up in this process")]
    AlreadyInstalled(#[from] tracing::dispatcher::SetGlobalDefaultError),
}
