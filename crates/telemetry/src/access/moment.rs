//! Dates as logs have them, in UTC.

use std::time::SystemTime;

use time::OffsetDateTime;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// A moment, by calendar and clock. By hand, because formatting from a description takes longer than
/// all the rest of a line.
pub(super) struct Moment(OffsetDateTime);

// === impl Moment ===

impl Moment {
    pub(super) fn of(time: SystemTime) -> Self {
        Self(time.into())
    }

    /// As the log has it: `2026-01-01T00:00:00.000000Z` (RFC 3339).
    pub(super) fn rfc3339(&self, out: &mut Vec<u8>) {
        let time = self.0;
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (number, at) in [
            (self.year(), 0..4),
            (u8::from(time.month()).into(), 5..7),
            (time.day().into(), 8..10),
            (time.hour().into(), 11..13),
            (time.minute().into(), 14..16),
            (time.second().into(), 17..19),
            (time.microsecond(), 20..26),
        ] {
            fill(number, &mut text[at]);
        }
        out.extend_from_slice(&text);
    }

    /// As Apache has it: `01/Jan/2026:00:00:00 +0000`.
    pub(super) fn apache(&self, out: &mut Vec<u8>) {
        let time = self.0;
        digits(time.day().into(), 2, out);
        out.push(b'/');
        let month = usize::from(u8::from(time.month()));
        out.extend(MONTHS[(month - 1) % MONTHS.len()]);
        out.push(b'/');
        digits(self.year(), 4, out);
        out.push(b':');
        self.clock(out);
        out.extend(b" +0000");
    }

    /// For the name of a file, so that names sort by age: `20260101T000000.000Z`.
    pub(super) fn file_name(&self) -> String {
        let time = self.0;
        format!(
            "{:04}{:02}{:02}T{:02}{:02}{:02}.{:03}Z",
            self.year(),
            u8::from(time.month()),
            time.day(),
            time.hour(),
            time.minute(),
            time.second(),
            time.millisecond()
        )
    }

    /// Whether `text` is of the form that `file_name` gives.
    pub(super) fn is_file_name(text: &str) -> bool {
        const FORM: &[u8] = b"00000000T000000.000Z";
        let mut pairs = text.bytes().zip(FORM);
        text.len() == FORM.len()
            && pairs.all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                _ => byte == *form,
            })
    }

    fn clock(&self, out: &mut Vec<u8>) {
        digits(self.0.hour().into(), 2, out);
        out.push(b':');
        digits(self.0.minute().into(), 2, out);
        out.push(b':');
        digits(self.0.second().into(), 2, out);
    }

    fn year(&self) -> u32 {
        u32::try_from(self.0.year()).unwrap_or_default()
    }
}

fn digits(number: u32, width: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + width, b'0');
    fill(number, &mut out[start..]);
}

fn fill(mut number: u32, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_are_written_as_each_format_has_them() {
        // `date --utc --date @1709210096.007008`
        let moment =
            Moment::of(SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_210_096_007_008));
        let text = |write: fn(&Moment, &mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&moment, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(Moment::rfc3339), "2024-02-29T12:34:56.007008Z");
        assert_eq!(text(Moment::apache), "29/Feb/2024:12:34:56 +0000");
        assert_eq!(moment.file_name(), "20240229T123456.007Z");
        assert!(Moment::is_file_name(&moment.file_name()));
        for other in [
            "",
            "1",
            "gz",
            "20240229T123456.007",
            "20240229T123456.007Z.gz",
            "2024-229T123456.007Z",
        ] {
            assert!(!Moment::is_file_name(other), "{other}");
        }
    }
}
