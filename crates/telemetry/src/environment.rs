//! OpenTelemetry's standard environment variables.

use std::time::Duration;

use crate::{MetricsConfig, OtlpConfig, OtlpProtocol, TelemetryError};

impl OtlpConfig {
    /// Reads if and how to export traces from OpenTelemetry's standard environment variables.
    ///
    /// On if `OTEL_TRACES_EXPORTER` contains `otlp`, or if it is not set and one of
    /// `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and `OTEL_EXPORTER_OTLP_ENDPOINT` is. (By the
    /// specification `otlp` is the default exporter, but a program without a configured collector
    /// should not try to reach one.) Always off with `OTEL_SDK_DISABLED=true`.
    ///
    /// Headers, compression, resource, sampler and batching are read from their own variables when
    /// the pipeline is built.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable has a value that cannot be used.
    pub fn from_env() -> Result<Option<Self>, TelemetryError> {
        otlp(&TRACES, &Variables::of_the_process())
    }
}

impl MetricsConfig {
    /// Reads if and how to export metrics from OpenTelemetry's standard environment variables: as
    /// [`OtlpConfig::from_env`], with `METRICS` for `TRACES`. The time between two exports is
    /// `OTEL_METRIC_EXPORT_INTERVAL`, in milliseconds.
    ///
    /// # Errors
    ///
    /// Returns an error if a variable has a value that cannot be used.
    pub fn from_env() -> Result<Option<Self>, TelemetryError> {
        Self::from_variables(&Variables::of_the_process())
    }

    fn from_variables(variables: &Variables<'_>) -> Result<Option<Self>, TelemetryError> {
        let Some(otlp) = otlp(&METRICS, variables)? else {
            return Ok(None);
        };
        let interval = variables
            .milliseconds(&["OTEL_METRIC_EXPORT_INTERVAL"])?
            .unwrap_or(Duration::from_secs(60));
        if interval.is_zero() {
            return Err(TelemetryError::Environment {
                variable: "OTEL_METRIC_EXPORT_INTERVAL",
                value: "0".to_owned(),
                expected: "a number of milliseconds above 0",
            });
        }
        Ok(Some(Self { otlp, interval }))
    }
}

/// The transports of this build.
const PROTOCOLS: &str = match cfg!(feature = "otlp-grpc") {
    true => "'grpc' or 'http/protobuf'",
    false => "'http/protobuf', because this build has no gRPC",
};

/// The variables of one signal: its own, and if there are two, the one for all signals.
struct Signal {
    exporter: &'static str,
    endpoint: [&'static str; 2],
    protocol: [&'static str; 2],
    timeout: [&'static str; 2],
}

const TRACES: Signal = Signal {
    exporter: "OTEL_TRACES_EXPORTER",
    endpoint: [
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ],
    protocol: [
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ],
    timeout: [
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ],
};

const METRICS: Signal = Signal {
    exporter: "OTEL_METRICS_EXPORTER",
    endpoint: [
        "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
        "OTEL_EXPORTER_OTLP_ENDPOINT",
    ],
    protocol: [
        "OTEL_EXPORTER_OTLP_METRICS_PROTOCOL",
        "OTEL_EXPORTER_OTLP_PROTOCOL",
    ],
    timeout: [
        "OTEL_EXPORTER_OTLP_METRICS_TIMEOUT",
        "OTEL_EXPORTER_OTLP_TIMEOUT",
    ],
};

fn otlp(signal: &Signal, variables: &Variables<'_>) -> Result<Option<OtlpConfig>, TelemetryError> {
    let endpoint = variables.first(&signal.endpoint);
    let disabled = variables
        .first(&["OTEL_SDK_DISABLED"])
        .is_some_and(|(_, value)| value.eq_ignore_ascii_case("true"));
    let exporter = match variables.first(&[signal.exporter]) {
        Some((_, list)) => list.split(',').any(|name| name.trim() == "otlp"),
        None => endpoint.is_some(),
    };
    if disabled || !exporter {
        return Ok(None);
    }

    let protocol = match variables.first(&signal.protocol) {
        None => OtlpProtocol::default(),
        Some((variable, value)) => match value.to_ascii_lowercase().as_str() {
            #[cfg(feature = "otlp-grpc")]
            "grpc" => OtlpProtocol::Grpc,
            "http/protobuf" => OtlpProtocol::HttpProtobuf,
            _ => {
                return Err(TelemetryError::Environment {
                    variable,
                    value,
                    expected: PROTOCOLS,
                });
            }
        },
    };
    let timeout = variables
        .milliseconds(&signal.timeout)?
        .unwrap_or(OtlpConfig::default().timeout);
    Ok(Some(OtlpConfig {
        protocol,
        endpoint: None,
        // An endpoint without a scheme, which gRPC allows, means TLS.
        tls: endpoint.is_some_and(|(_, url)| !url.to_ascii_lowercase().starts_with("http://")),
        timeout,
    }))
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    fn of_the_process() -> Self {
        Self(&|name| std::env::var(name).ok())
    }

    /// Returns the first that is set. An empty variable counts as not set, by the specification.
    fn first(&self, names: &[&'static str]) -> Option<(&'static str, String)> {
        names.iter().find_map(|name| {
            let value = (self.0)(name)?.trim().to_owned();
            (!value.is_empty()).then_some((*name, value))
        })
    }

    fn milliseconds(&self, names: &[&'static str]) -> Result<Option<Duration>, TelemetryError> {
        let Some((variable, value)) = self.first(names) else {
            return Ok(None);
        };
        match value.parse() {
            Ok(milliseconds) => Ok(Some(Duration::from_millis(milliseconds))),
            Err(_) => Err(TelemetryError::Environment {
                variable,
                value,
                expected: "a number of milliseconds",
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of<T>(variables: &[(&str, &str)], read: impl FnOnce(&Variables<'_>) -> T) -> T {
        read(&Variables(&|name| {
            variables
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        }))
    }

    fn read(variables: &[(&str, &str)]) -> Result<Option<OtlpConfig>, TelemetryError> {
        of(variables, |variables| otlp(&TRACES, variables))
    }

    fn metrics(variables: &[(&str, &str)]) -> Result<Option<MetricsConfig>, TelemetryError> {
        of(variables, MetricsConfig::from_variables)
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

    #[test]
    fn each_signal_goes_by_its_own_variables_before_those_of_all() {
        const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");
        let no_metrics = [ENDPOINT, ("OTEL_METRICS_EXPORTER", "none")];
        assert!(metrics(&no_metrics).unwrap().is_none());
        assert!(read(&no_metrics).unwrap().is_some());
        let no_traces = [ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")];
        assert!(metrics(&no_traces).unwrap().is_some());
        assert!(read(&no_traces).unwrap().is_none());

        let only = [(
            "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
            "https://c/v1/metrics",
        )];
        assert!(metrics(&only).unwrap().unwrap().otlp.tls);
        assert!(read(&only).unwrap().is_none());

        let grpc = [ENDPOINT, ("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL", "grpc")];
        let protocol = metrics(&grpc).unwrap().unwrap().otlp.protocol;
        assert_eq!(protocol, OtlpProtocol::Grpc);
        let protocol = read(&grpc).unwrap().unwrap().protocol;
        assert_eq!(protocol, OtlpProtocol::HttpProtobuf);
    }

    #[test]
    fn metrics_are_exported_each_minute_unless_said_otherwise() {
        const ON: (&str, &str) = ("OTEL_METRICS_EXPORTER", "otlp");
        let interval = |value| metrics(&[ON, ("OTEL_METRIC_EXPORT_INTERVAL", value)]);
        assert_eq!(interval("").unwrap().unwrap().interval.as_secs(), 60);
        assert_eq!(interval("250").unwrap().unwrap().interval.as_millis(), 250);
        for wrong in ["0", "1s", "-1"] {
            let error = interval(wrong).unwrap_err().to_string();
            assert!(error.contains("OTEL_METRIC_EXPORT_INTERVAL"), "{error}");
        }
    }
}
