//! Dates in the formats of logs, in UTC.

use std::cell::Cell;
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::fmt::temporal::DateTimePrinter;

/// The format of Apache: `01/Jan/2026:00:00:00 +0000`.
const APACHE: &str = "%d/%b/%Y:%H:%M:%S +0000";

/// The format in a file's name, by which names sort by age: `20260101T000000.000Z`.
const FILE_NAME: &str = "%Y%m%dT%H%M%S.%3fZ";

thread_local! {
    /// The last second that this thread formatted, since 1970, and its text.
    static SECOND: Cell<(i64, Rfc3339)> = const { Cell::new((0, Rfc3339::EPOCH)) };
}

/// A date as in the log (RFC 3339): `2026-01-01T00:00:00.000000Z`.
#[derive(Clone, Copy)]
pub(crate) struct Rfc3339([u8; 27]);

// === impl Rfc3339 ===

impl Rfc3339 {
    const EPOCH: Self = Self(*b"1970-01-01T00:00:00.000000Z");

    /// Formats a date. A thread formats many within one second, of which only the microseconds differ:
    /// the whole takes longer than all else of a line in the access log.
    pub(crate) fn of(date: SystemTime) -> Self {
        const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
        let date = of(date);
        let (mut second, mut text) = SECOND.get();
        if date.as_second() != second {
            second = date.as_second();
            let whole = PRINTER.timestamp_to_string(&date);
            // Years before 0 have another form.
            text = whole.as_bytes().try_into().map_or(Self::EPOCH, Self);
            SECOND.set((second, text));
        }
        let mut micros = date.subsec_microsecond();
        for digit in text.0[20..26].iter_mut().rev() {
            *digit = b'0' + u8::try_from(micros % 10).unwrap_or_default();
            micros /= 10;
        }
        text
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn apache(date: SystemTime) -> String {
    of(date).strftime(APACHE).to_string()
}

pub(crate) fn file_name(date: SystemTime) -> String {
    of(date).strftime(FILE_NAME).to_string()
}

/// Returns true if `text` has the form of [`file_name`].
pub(crate) fn is_file_name(text: &str) -> bool {
    strtime::parse(FILE_NAME, text).is_ok()
}

fn of(date: SystemTime) -> Timestamp {
    // No clock is outside the supported years.
    Timestamp::try_from(date).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_each_format_has_them() {
        for (micros, expected) in [
            (1_709_210_096_999_999, "2024-02-29T12:34:56.999999Z"),
            (1_709_210_096_000_001, "2024-02-29T12:34:56.000001Z"),
            (1_709_251_200_000_000, "2024-03-01T00:00:00.000000Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
            // `date --utc --date @1709210096.007008`
            (1_709_210_096_007_008, "2024-02-29T12:34:56.007008Z"),
        ] {
            let date = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            assert_eq!(Rfc3339::of(date).as_bytes(), expected.as_bytes());
        }
        let date = SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_210_096_007_008);
        assert_eq!(apache(date), "29/Feb/2024:12:34:56 +0000");
        let name = file_name(date);
        assert_eq!(name, "20240229T123456.007Z");
        assert!(is_file_name(&name));
        for other in [
            "",
            "1",
            "gz",
            "20240229T123456.007",
            "20240229T123456.007Z.gz",
            "2024-229T123456.007Z",
        ] {
            assert!(!is_file_name(other), "{other}");
        }
    }
}
