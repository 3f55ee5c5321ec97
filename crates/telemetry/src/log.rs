//! The log: a layer with its own filter.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing_subscriber::filter::{EnvFilter, FilterExt, FilterFn, LevelFilter, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::{Layer, Registry, fmt, reload};

use crate::guest_line::GuestLines;
use crate::{LogConfig, LogFormat, TelemetryError};

pub(crate) type LogLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The filter of the log, which can be changed while in use. Cheap to clone.
#[derive(Clone)]
pub struct LogLevel {
    handle: reload::Handle<EnvFilter, Registry>,
    /// The text as given: a parsed filter prints differently.
    text: Arc<Mutex<String>>,
}

pub(crate) fn layer<W>(
    config: &LogConfig,
    writer: W,
) -> Result<(LogLayer, LogLevel), TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let (filter, handle) = reload::Layer::new(parse(&config.filter)?);
    // Spans are for traces, and a log line names its request itself. If the log saw spans, each
    // would be formatted in case a line is written inside it: wasmtime-wasi opens one for every
    // WASI call.
    let no_spans: FilterFn = filter_fn(|metadata| !metadata.is_span());
    let filter = filter.and(no_spans);

    let layer = fmt::layer().with_writer(writer);
    let layer = match config.format {
        LogFormat::Text => layer
            .with_ansi(config.color)
            .event_format(GuestLines(fmt::format()))
            .log_internal_errors(false)
            .with_filter(filter)
            .boxed(),
        LogFormat::Json => layer
            .json()
            .log_internal_errors(false)
            .with_filter(filter)
            .boxed(),
    };
    let text = Arc::new(Mutex::new(config.filter.clone()));
    Ok((layer, LogLevel { handle, text }))
}

fn parse(filter: &str) -> Result<EnvFilter, TelemetryError> {
    // A span's name is in brackets.
    let is_alone = |word: &&str| !word.contains(['=', '[']);
    let mut words = filter.split(',').map(str::trim).filter(is_alone);
    // An empty filter would log only errors.
    let is_none = |word: &&str| word.is_empty() && filter.trim().is_empty();
    if let Some(word) = words.find(|word| is_none(word) || word.parse::<LevelFilter>().is_err()) {
        return Err(TelemetryError::LogWord {
            filter: filter.to_owned(),
            word: word.to_owned(),
        });
    }
    EnvFilter::try_new(filter).map_err(|source| TelemetryError::LogFilter {
        filter: filter.to_owned(),
        source,
    })
}

// === impl LogConfig ===

impl LogConfig {
    /// Checks the filter before there is a log.
    ///
    /// # Errors
    ///
    /// Returns an error if the filter cannot be read.
    pub fn check(&self) -> Result<(), TelemetryError> {
        parse(&self.filter).map(|_filter| ())
    }
}

// === impl LogLevel ===

impl LogLevel {
    /// Returns the current filter, as it was given.
    #[must_use]
    pub fn get(&self) -> String {
        self.text.lock().clone()
    }

    /// Replaces the filter, in the syntax of [`LogConfig::filter`].
    ///
    /// # Errors
    ///
    /// Returns an error if the filter cannot be read; nothing is changed then.
    pub fn set(&self, filter: &str) -> Result<(), TelemetryError> {
        let parsed = parse(filter)?;
        // Locked across both, so that `get` returns the filter that is in use.
        let mut text = self.text.lock();
        let reloaded = self.handle.reload(parsed);
        reloaded.map_err(|_gone| TelemetryError::LogEnded)?;
        filter.clone_into(&mut text);
        Ok(())
    }
}

impl std::fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LogLevel").field(&self.get()).finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;
    use crate::test_support::Buffer;

    pub(crate) fn log(config: &LogConfig, work: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (layer, _level) = layer(config, move || writer.clone()).unwrap();
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
        assert_eq!(config.check().unwrap_err().to_string(), error);
        assert!(LogConfig::default().check().is_ok());
        assert!(error.contains("'headwater=loud'"), "{error}");
        assert!(
            error.contains("off, error, warn, info, debug or trace"),
            "{error}"
        );
    }

    #[test]
    fn a_word_that_is_no_level_is_not_taken_for_a_target_that_alone_is_logged() {
        let check = |filter: &str| {
            let config = LogConfig {
                filter: filter.to_owned(),
                ..LogConfig::default()
            };
            config.check().map_err(|error| error.to_string())
        };
        for good in [
            "info",
            "WARN",
            "off",
            "3",
            "headwater_egress=debug",
            "[request]=trace",
            "info,hyper[conn{id=1}]",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (wrong, word) in [
            ("debg", "'debg'"),
            ("info,headwater_egress", "'headwater_egress'"),
            ("6", "'6'"),
            ("", "''"),
            (" ", "''"),
        ] {
            let error = check(wrong).unwrap_err();
            assert!(error.contains(&format!("{word} is not a level")), "{error}");
            assert!(
                error.contains("off, error, warn, info, debug or trace"),
                "{error}"
            );
        }
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
    fn the_filter_is_changed_while_it_is_in_use_and_a_bad_one_changes_nothing() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (layer, level) = layer(&LogConfig::default(), move || writer.clone()).unwrap();
        let say = |what| {
            tracing::debug!("{what}");
            buffer.text().contains(what)
        };
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            assert_eq!(level.get(), "info");
            assert!(!say("at first"));
            level.set("warn,headwater_telemetry=debug").unwrap();
            assert_eq!(level.get(), "warn,headwater_telemetry=debug");
            assert!(say("asked for"));
            let error = level.set("headwater=loud").unwrap_err().to_string();
            assert!(error.contains("'headwater=loud'"), "{error}");
            assert_eq!(level.get(), "warn,headwater_telemetry=debug");
            assert!(say("after a bad one"));
            level.set("off").unwrap();
            assert!(!say("switched off"));
        });
        assert!(matches!(level.set("info"), Err(TelemetryError::LogEnded)));
        assert_eq!(level.get(), "off");
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
