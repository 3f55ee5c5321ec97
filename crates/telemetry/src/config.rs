use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::TelemetryError;

/// What is logged and where traces go.
///
/// The default logs at `info` to standard error, and makes no traces at all.
#[derive(Debug, Default)]
pub struct TelemetryConfig {
    /// The log.
    pub log: LogConfig,
    /// Append traces to this file, one OTLP JSON object per line, as the OpenTelemetry collector's
    /// `file` exporter writes them. Default: no file.
    pub trace_file: Option<PathBuf>,
    /// Print each request as a tree. Default: no.
    pub trace_tree: Option<TreeConfig>,
    /// Export over OTLP, see [`OtlpConfig::from_env`]. Default: no.
    pub otlp: Option<OtlpConfig>,
}

/// What is logged, to standard error.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Which events, in the syntax of `RUST_LOG`: a level, or targets with levels. It does not
    /// affect traces. Default: `info`.
    pub filter: String,
    /// How. Default: text.
    pub format: LogFormat,
    /// Whether each answered request is logged too, under the target `headwater::access`. A filter
    /// that names this target has the last word. Default: no.
    pub access: bool,
    /// Whether text has colours. Default: whether standard error is a terminal and the variable
    /// `NO_COLOR` is not set.
    pub color: bool,
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where trees go.
pub struct TreeConfig {
    /// Gets each tree in one write.
    pub writer: Box<dyn Write + Send>,
    /// Whether to colour them.
    pub color: bool,
}

/// Export over OTLP to a collector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpConfig {
    /// The transport. Default: `http/protobuf`, as the OpenTelemetry specification recommends.
    pub protocol: OtlpProtocol,
    /// The collector: for gRPC its address, for HTTP the full URL that traces are posted to.
    /// Default: none, which means what the environment says (`OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`,
    /// `OTEL_EXPORTER_OTLP_ENDPOINT`), or else `localhost:4317` for gRPC and `localhost:4318` for
    /// HTTP.
    pub endpoint: Option<String>,
    /// Whether the collector is reached over TLS, so that the machine's root certificates are
    /// needed.
    pub tls: bool,
    /// How long one export may take. Default: 10 seconds, by the specification.
    pub timeout: Duration,
}

/// The transports of OTLP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OtlpProtocol {
    /// `grpc`
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
            access: false,
            color: use_color(io::stderr().is_terminal()),
        }
    }
}

impl TreeConfig {
    /// Trees on standard error, coloured if it is a terminal.
    #[must_use]
    pub fn stderr() -> Self {
        Self {
            color: use_color(io::stderr().is_terminal()),
            writer: Box::new(io::stderr()),
        }
    }

    /// Trees on standard output, coloured if it is a terminal.
    #[must_use]
    pub fn stdout() -> Self {
        Self {
            color: use_color(io::stdout().is_terminal()),
            writer: Box::new(io::stdout()),
        }
    }
}

impl fmt::Debug for TreeConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TreeConfig")
            .field("color", &self.color)
            .finish_non_exhaustive()
    }
}

/// See <https://no-color.org>.
fn use_color(terminal: bool) -> bool {
    terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
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

impl OtlpConfig {
    /// Whether and how to export, by OpenTelemetry's standard environment variables.
    ///
    /// On if `OTEL_TRACES_EXPORTER` contains `otlp`, or if it is not set and one of
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` is. (By the
    /// specification `otlp` is the default exporter; a program that nobody told of a collector
    /// should not try to reach one.) Off in any case with `OTEL_SDK_DISABLED=true`.
    ///
    /// Headers, compression, resource, sampler and batching are read from their own variables when
    /// the pipeline is built.
    ///
    /// # Errors
    ///
    /// If a variable that is read here has a value that cannot be used.
    pub fn from_env() -> Result<Option<Self>, TelemetryError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    fn from_variables(
        read: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<Self>, TelemetryError> {
        // By the specification an empty variable counts as one that is not set.
        let read = |name: &'static str| {
            let value = read(name)?.trim().to_owned();
            (!value.is_empty()).then_some((name, value))
        };
        let endpoint = read("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
            .or_else(|| read("OTEL_EXPORTER_OTLP_ENDPOINT"));
        let disabled =
            read("OTEL_SDK_DISABLED").is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
        let exporter = match read("OTEL_TRACES_EXPORTER") {
            Some((_, list)) => list.split(',').any(|name| name.trim() == "otlp"),
            None => endpoint.is_some(),
        };
        if disabled || !exporter {
            return Ok(None);
        }

        let protocol = match read("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            .or_else(|| read("OTEL_EXPORTER_OTLP_PROTOCOL"))
        {
            None => OtlpProtocol::default(),
            Some((variable, value)) => match value.to_ascii_lowercase().as_str() {
                "grpc" => OtlpProtocol::Grpc,
                "http/protobuf" => OtlpProtocol::HttpProtobuf,
                _ => {
                    return Err(TelemetryError::Environment {
                        variable,
                        value,
                        expected: "'grpc' or 'http/protobuf'",
                    });
                }
            },
        };
        let timeout = match read("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT")
            .or_else(|| read("OTEL_EXPORTER_OTLP_TIMEOUT"))
        {
            None => Self::default().timeout,
            Some((variable, value)) => match value.parse() {
                Ok(milliseconds) => Duration::from_millis(milliseconds),
                Err(_) => {
                    return Err(TelemetryError::Environment {
                        variable,
                        value,
                        expected: "a number of milliseconds",
                    });
                }
            },
        };
        Ok(Some(Self {
            protocol,
            endpoint: None,
            // An endpoint without a scheme, which gRPC allows, means TLS.
            tls: endpoint.is_some_and(|(_, url)| !url.to_ascii_lowercase().starts_with("http://")),
            timeout,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<OtlpConfig>, TelemetryError> {
        OtlpConfig::from_variables(|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_standard_variables_switch_the_exporter_on_and_off() {
        let on = |variables: &[_]| read(variables).unwrap().is_some();
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        assert!(!on(&[]));
        assert!(on(&[ENDPOINT]));
        assert!(on(&[(
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://c/v1/traces"
        )]));
        assert!(on(&[("OTEL_TRACES_EXPORTER", "otlp")]));
        assert!(on(&[("OTEL_TRACES_EXPORTER", "console, otlp")]));
        assert!(!on(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")]));
        assert!(!on(&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")]));
        assert!(!on(&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")]));
        assert!(on(&[ENDPOINT, ("OTEL_SDK_DISABLED", "false")]));
    }

    #[test]
    fn the_protocol_is_http_protobuf_unless_said_otherwise() {
        let protocol = |variables: &[(&'static str, &'static str)]| {
            let mut all = vec![("OTEL_TRACES_EXPORTER", "otlp")];
            all.extend_from_slice(variables);
            read(&all).map(|config| config.unwrap().protocol)
        };
        assert_eq!(protocol(&[]).unwrap(), OtlpProtocol::HttpProtobuf);
        let grpc = ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc");
        assert_eq!(protocol(&[grpc]).unwrap(), OtlpProtocol::Grpc);
        let http = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        assert_eq!(protocol(&[grpc, http]).unwrap(), OtlpProtocol::HttpProtobuf);
        let error = protocol(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable OTEL_EXPORTER_OTLP_PROTOCOL is 'http/json'; expected 'grpc' \
             or 'http/protobuf'"
        );
    }

    #[test]
    fn tls_follows_from_the_endpoint() {
        let tls = |url| {
            read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", url)])
                .unwrap()
                .unwrap()
                .tls
        };
        assert!(!tls("http://collector:4317"));
        assert!(tls("https://collector:4317"));
        assert!(tls("collector:4317"));
    }
}
