//! The log: a layer of its own, with a filter of its own.

use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{Layer, Registry, fmt};

use crate::guest_line::GuestLines;
use crate::{LogConfig, LogFormat, TelemetryError};

/// A layer that writes log lines, of either format.
pub(crate) type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// Makes the layer that writes log lines.
pub(crate) fn layer<W>(config: &LogConfig, writer: W) -> Result<LogLayer, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter =
        EnvFilter::try_new(directives(config)).map_err(|source| TelemetryError::LogFilter {
            filter: config.filter.clone(),
            source,
        })?;
    // Spans are for traces, and a log line names its request itself. Were the log to see spans, each
    // would be formatted on the chance that a line is written inside it: wasmtime-wasi opens one for
    // every call of a guest into WASI.
    let no_spans: FilterFn = filter_fn(|metadata| !metadata.is_span());
    let filter = filter.and(no_spans);

    let layer = fmt::layer().with_writer(writer);
    Ok(match config.format {
        LogFormat::Text => layer
            .with_ansi(config.color)
            .event_format(GuestLines(fmt::format()))
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => layer.json().with_filter(filter).boxed(),
    })
}

/// The filter, with what it does not say of the access log.
fn directives(config: &LogConfig) -> String {
    const ACCESS: &str = "headwater::access";
    let filter = &config.filter;
    if filter.contains(ACCESS) {
        return filter.clone();
    }
    // The longest target decides, so this holds beside whatever else is there.
    let level = if config.access { "info" } else { "off" };
    let comma = if filter.trim().is_empty() { "" } else { "," };
    format!("{filter}{comma}{ACCESS}={level}")
}

#[cfg(test)]
pub(crate) mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::test_support::Buffer;

    pub(crate) fn log(config: &LogConfig, work: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let layer = layer(config, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), work);
        buffer.text()
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_named_with_the_remedy() {
        let config = LogConfig {
            filter: "headwater=loud".to_owned(),
            ..LogConfig::default()
        };
        let error = layer(&config, std::io::sink).err().unwrap().to_string();
        assert!(error.contains("'headwater=loud'"), "{error}");
        assert!(
            error.contains("off, error, warn, info, debug or trace"),
            "{error}"
        );
    }

    #[test]
    fn json_lines_are_json_and_text_has_colour_only_if_asked_for() {
        let config = LogConfig {
            format: LogFormat::Json,
            ..LogConfig::default()
        };
        let line = log(&config, || tracing::info!(port = 8080, "serving"));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["fields"]["message"], "serving");
        assert_eq!(value["fields"]["port"], 8080);

        for color in [true, false] {
            let config = LogConfig {
                color,
                ..LogConfig::default()
            };
            let line = log(&config, || tracing::info!("serving"));
            assert_eq!(line.contains('\x1b'), color, "{line}");
        }
    }

    #[test]
    fn requests_are_logged_only_if_asked_for() {
        for (access, filter, logged) in [
            (false, "info", false),
            (true, "info", true),
            (true, "off", true),
            (true, "", true),
            (false, "", false),
            (false, "headwater=trace", false),
            (false, "warn,headwater::access=info", true),
            (true, "headwater::access=off", false),
        ] {
            let config = LogConfig {
                access,
                filter: filter.to_owned(),
                ..LogConfig::default()
            };
            let line = log(
                &config,
                || tracing::info!(target: "headwater::access", "GET"),
            );
            assert_eq!(line.contains("GET"), logged, "{config:?}");
        }
    }

    #[test]
    fn spans_are_no_part_of_a_log_line() {
        let config = LogConfig {
            filter: "trace".to_owned(),
            ..LogConfig::default()
        };
        let text = log(&config, || {
            let span = tracing::info_span!("a-call-into-wasi");
            assert!(span.is_disabled());
            span.in_scope(|| tracing::info!("inside"));
        });
        assert!(text.contains("inside"), "{text}");
        assert!(!text.contains("a-call-into-wasi"), "{text}");
    }
}
