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
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },

    /// A word of the log filter is no level, and stands alone as only a level does. `tracing` would take it
    /// for a target's name, and log nothing else.
    #[error(
        "the log filter '{filter}' cannot be used: '{word}' is no level; write one ({levels}), and a \
         target with one, such as 'info,headwater_egress=debug'",
        levels = LogConfig::LEVELS
    )]
    LogWord {
        /// The filter as given.
        filter: String,
        /// The word.
        word: String,
    },

    /// A file that is written to cannot be opened.
    #[error(
        "{output} {} cannot be opened for appending: {source}; its directory must exist and be \
         writable",
        path.display()
    )]
    OutputFile {
        /// What is to be written to it, such as `the access log`.
        output: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },

    /// A thread that writes what the process tells cannot be started.
    #[error("a thread that writes logs cannot be started: {0}")]
    OutputThread(#[source] std::io::Error),

    /// The log's filter cannot be changed any more.
    #[error("the log's filter cannot be changed: the log has ended")]
    LogEnded,

    /// An environment variable has a value that cannot be used.
    #[error("the environment variable {variable} is '{value}'; expected {expected}")]
    Environment {
        /// The variable.
        variable: &'static str,
        /// What it is set to.
        value: String,
        /// What it may be set to.
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
