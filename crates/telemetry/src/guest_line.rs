//! The format of guests' output in the text log.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::FmtContext;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::registry::LookupSpan;

const TARGET: &str = "headwater::guest";

/// Formats a guest's line for people, and passes every other event to `F`.
///
/// The host's facts about the line come first, then a bar, then the line itself: a guest may print a forged
/// request id, but not before the bar. (Nor can it print a line feed: control characters are escaped.)
///
/// ```text
/// 2026-01-01T00:00:00.000000Z  INFO 3f9a01c2 shop/4 stderr | out of stock
/// ```
///
/// The first word is the request's id: its short form on a terminal, which is the end of its `x-request-id`,
/// and elsewhere the whole. It is `unknown` or `ambiguous` if the line's request is not known. The number is
/// that of the service's instance.
pub(crate) struct GuestLines<F>(pub(crate) F);

impl<S, N, F> FormatEvent<S, N> for GuestLines<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.metadata().target() != TARGET {
            return self.0.format_event(context, writer, event);
        }
        let mut line = Line::default();
        event.record(&mut line);
        let (dim, bold, plain) = if writer.has_ansi_escapes() {
            ("\x1b[2m", "\x1b[1m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        write!(writer, "{dim}")?;
        SystemTime.format_time(&mut writer)?;
        write!(
            writer,
            "{plain} {:>5} {bold}{}{plain} {}",
            event.metadata().level(),
            line.whose(writer.has_ansi_escapes()),
            line.service
        )?;
        if let Some(instance) = line.instance {
            write!(writer, "/{instance}")?;
        }
        if !line.stream.is_empty() {
            write!(writer, " {}", line.stream)?;
        }
        writeln!(writer, " {dim}|{plain} {}", line.message)
    }
}

#[derive(Default)]
struct Line {
    message: String,
    request_id: String,
    service: String,
    instance: Option<u64>,
    stream: String,
    verdict: String,
}

impl Line {
    fn whose(&self, short: bool) -> &str {
        // As `RequestId::short`: the last eight digits.
        match self.request_id.len().checked_sub(8) {
            Some(at) if short => self.request_id.get(at..).unwrap_or(&self.request_id),
            Some(_) => &self.request_id,
            None if self.verdict.is_empty() => "-",
            None => &self.verdict,
        }
    }

    fn text(&mut self, field: &Field) -> Option<&mut String> {
        Some(match field.name() {
            "message" => &mut self.message,
            "request_id" => &mut self.request_id,
            "service" => &mut self.service,
            "stream" => &mut self.stream,
            "headwater.attribution" => &mut self.verdict,
            _ => return None,
        })
    }
}

impl Visit for Line {
    fn record_u64(&mut self, field: &Field, value: u64) {
        if field.name() == "instance" {
            self.instance = Some(value);
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if let Some(text) = self.text(field) {
            value.clone_into(text);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if let Some(text) = self.text(field) {
            *text = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::RequestId;

    use crate::log::tests::log;
    use crate::{LogConfig, LogFormat};

    fn text(color: bool, work: impl FnOnce()) -> String {
        let config = LogConfig {
            color,
            ..LogConfig::default()
        };
        log(&config, work)
    }

    #[test]
    fn a_line_begins_with_the_id_and_what_the_guest_says_comes_last() {
        let id = RequestId::new();
        let forged = "00000000 shop/1 stdout | forged request_id=1";
        let emit = || {
            tracing::info!(
                target: "headwater::guest",
                request_id = Some(tracing::field::display(id)),
                service = "shop",
                instance = Some(4_u64),
                stream = "stderr",
                headwater.attribution = "exact",
                "{forged}"
            );
        };
        let line = text(false, emit);
        let (known, said) = line.split_once(" | ").unwrap();
        assert!(
            known.ends_with(&format!(" INFO {id} shop/4 stderr")),
            "{line}"
        );
        assert_eq!(said, format!("{forged}\n"));
        let line = text(true, emit);
        let short = format!("\x1b[1m{}\x1b[0m shop/4", id.short());
        assert!(line.contains(&short), "{line}");

        let json = log(
            &LogConfig {
                format: LogFormat::Json,
                ..LogConfig::default()
            },
            emit,
        );
        let record: serde_json::Value = serde_json::from_str(&json).unwrap();
        let fields = &record["fields"];
        assert_eq!(fields["message"], forged);
        assert_eq!(fields["request_id"], id.to_string());
        assert_eq!(fields["instance"], 4);
        assert_eq!(fields["headwater.attribution"], "exact");
    }

    #[test]
    fn a_line_of_no_known_request_says_so_and_other_events_are_as_ever() {
        let line = text(false, || {
            tracing::info!(
                target: "headwater::guest",
                request_id = None::<u64>,
                service = "shop",
                instance = None::<u64>,
                stream = "stdout",
                headwater.attribution = "unknown",
                "hello"
            );
        });
        assert!(
            line.ends_with(" INFO unknown shop stdout | hello\n"),
            "{line}"
        );
        let line = text(false, || tracing::info!(port = 8080, "serving"));
        assert!(line.contains("serving port=8080"), "{line}");
    }
}
