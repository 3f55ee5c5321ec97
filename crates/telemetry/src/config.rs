use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use headwater_core::{LogFormat, ServiceName};

use crate::{AccessConfig, FileConfig};

/// The settings of logs, traces and metrics.
///
/// The default logs at `info` to standard error, without traces.
#[derive(Debug, Default)]
pub struct TelemetryConfig {
    /// The log.
    pub log: LogConfig,
    /// Log each finished request, see [`AccessConfig`]. Default: no.
    pub access: Option<AccessConfig>,
    /// Append the audit log to this file, one JSON object per line: the events of the target
    /// `headwater::audit`, whatever the log's filter says. Default: no file.
    pub audit_file: Option<FileConfig>,
    /// Append traces to this file, one OTLP JSON object per line, as the OpenTelemetry collector's
    /// `file` exporter writes them. Default: no file.
    pub trace_file: Option<FileConfig>,
    /// Print each request as a tree. Default: no.
    pub trace_tree: Option<TreeConfig>,
    /// The `service.name` of a service's spans. Default: the host's.
    pub service_name: ServiceName,
    /// Export traces over OTLP, see [`OtlpConfig::from_env`]. Default: no.
    pub otlp: Option<OtlpConfig>,
    /// Export metrics, see [`MetricsConfig::from_env`]. Default: no.
    pub metrics: Option<MetricsConfig>,
    /// Collect metrics for [`Telemetry::prometheus`](crate::Telemetry::prometheus), beside any export.
    /// Default: no.
    pub prometheus: bool,
}

/// The settings of the log on standard error.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// The events to log, in the syntax of `RUST_LOG`: a level, or targets with levels. It does not affect
    /// traces. [`LogLevel`](crate::LogLevel) changes it later. Default: `info`.
    pub filter: String,
    /// The format. Default: text.
    pub format: LogFormat,
    /// Whether text has colours. Default: whether standard error is a terminal and the variable
    /// `NO_COLOR` is not set. `CLICOLOR_FORCE` counts as a terminal.
    pub color: bool,
}

/// The settings of trees.
pub struct TreeConfig {
    /// The writer of trees. A thread of its own writes whole trees, one or more at a time. Default: standard
    /// error.
    pub writer: Option<Box<dyn Write + Send>>,
    /// Whether to colour them. Default: whether standard error is a terminal and the variable
    /// `NO_COLOR` is not set. `CLICOLOR_FORCE` counts as a terminal.
    pub color: bool,
}

/// The settings of an export over OTLP to a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The transport. Default: `http/protobuf`, as the OpenTelemetry specification recommends.
    pub protocol: OtlpProtocol,
    /// The collector: for gRPC its address, for HTTP the full URL that is posted to. Default: none, which
    /// means the environment's (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or
    /// `OTEL_EXPORTER_OTLP_METRICS_ENDPOINT`, `OTEL_EXPORTER_OTLP_ENDPOINT`), or else `localhost:4317` for
    /// gRPC and `localhost:4318` for HTTP.
    pub endpoint: Option<String>,
    /// True if the collector is reached over TLS, which needs the machine's root certificates.
    pub tls: bool,
    /// The timeout of one export. Default: 10 seconds, by the specification.
    pub timeout: Duration,
}

/// The settings of the export of metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// The collector.
    pub otlp: OtlpConfig,
    /// The time between two exports. Default: 60 seconds, by the specification.
    pub interval: Duration,
}

/// The transports of OTLP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `grpc`
    #[cfg(feature = "otlp-grpc")]
    Grpc,
    /// `http/protobuf`
    #[default]
    HttpProtobuf,
}

impl LogConfig {
    /// The levels, for messages and help.
    pub const LEVELS: &'static str = "off, error, warn, info, debug or trace";
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            filter: "info".to_owned(),
            format: LogFormat::default(),
            color: use_color(io::stderr().is_terminal()),
        }
    }
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            writer: None,
            color: use_color(io::stderr().is_terminal()),
        }
    }
}

headwater_core::debug_fields!(TreeConfig { color });

/// See <https://no-color.org> and <https://bixense.com/clicolors>.
fn use_color(terminal: bool) -> bool {
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && (terminal || is_set("CLICOLOR_FORCE"))
}

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            protocol: OtlpProtocol::default(),
            endpoint: None,
            tls: false,
            timeout: Duration::from_secs(10),
        }
    }
}
