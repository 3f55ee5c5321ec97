//! Dates as logs have them, in UTC.

use std::time::{Duration, Instant, SystemTime};

use time::OffsetDateTime;

const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// How long a date is told by the steady clock before the other is asked again: nobody sets a clock
/// and wants it to be heeded sooner.
const STEADY: Duration = Duration::from_secs(1);

/// Dates one moment after the other, most of which are within one second. So it need not be asked what
/// time it is for each, nor need each be written from its year on.
#[derive(Default)]
pub(crate) struct Clock {
    /// What both clocks said at one time.
    asked: Option<(Instant, SystemTime)>,
    /// The second that was written last, since 1970, and its text.
    second: Option<(u64, [u8; SECOND])>,
}

/// How long `2026-01-01T00:00:00` is.
const SECOND: usize = 19;

/// A moment, by calendar and clock. By hand, because formatting from a description takes longer than
/// all the rest of a line.
pub(crate) struct Timestamp(OffsetDateTime);

// === impl Clock ===

impl Clock {
    /// As the log has it: `2026-01-01T00:00:00.000000Z` (RFC 3339).
    pub(crate) fn rfc3339(&mut self, then: Instant, out: &mut Vec<u8>) {
        let date = self.date(then);
        self.write(date, out);
    }

    /// As Apache has it: `01/Jan/2026:00:00:00 +0000`.
    pub(crate) fn apache(&mut self, then: Instant, out: &mut Vec<u8>) {
        Timestamp::of(self.date(then)).apache(out);
    }

    fn date(&mut self, then: Instant) -> SystemTime {
        let asked = self
            .asked
            .filter(|(steady, _)| then.saturating_duration_since(*steady) < STEADY);
        let (steady, date) =
            asked.unwrap_or_else(|| *self.asked.insert((Instant::now(), SystemTime::now())));
        match then.checked_duration_since(steady) {
            Some(later) => date + later,
            None => date - (steady - then),
        }
    }

    fn write(&mut self, date: SystemTime, out: &mut Vec<u8>) {
        // Nobody's clock is before that.
        let since = date
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let (_, second) = match self.second {
            Some(last) if last.0 == since.as_secs() => last,
            _ => *self.second.insert((
                since.as_secs(),
                Timestamp::of(SystemTime::UNIX_EPOCH + since).second(),
            )),
        };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        text[..SECOND].copy_from_slice(&second);
        fill(since.subsec_micros(), &mut text[SECOND + 1..][..6]);
        out.extend_from_slice(&text);
    }
}

// === impl Timestamp ===

impl Timestamp {
    pub(crate) fn of(time: SystemTime) -> Self {
        Self(time.into())
    }

    /// To the second: `2026-01-01T00:00:00` (RFC 3339).
    fn second(&self) -> [u8; SECOND] {
        let time = self.0;
        let mut text = *b"0000-00-00T00:00:00";
        for (number, at) in [
            (self.year(), 0..4),
            (u8::from(time.month()).into(), 5..7),
            (time.day().into(), 8..10),
            (time.hour().into(), 11..13),
            (time.minute().into(), 14..16),
            (time.second().into(), 17..19),
        ] {
            fill(number, &mut text[at]);
        }
        text
    }

    /// As Apache has it: `01/Jan/2026:00:00:00 +0000`.
    fn apache(&self, out: &mut Vec<u8>) {
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
    pub(crate) fn file_name(&self) -> String {
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
    pub(crate) fn is_file_name(text: &str) -> bool {
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
    use super::*;

    #[test]
    fn moments_are_written_as_each_format_has_them() {
        // `date --utc --date @1709210096.007008`
        let time = SystemTime::UNIX_EPOCH + Duration::from_micros(1_709_210_096_007_008);
        let moment = Timestamp::of(time);
        let text = |write: fn(&Timestamp, &mut Vec<u8>)| {
            let mut out = Vec::new();
            write(&moment, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(text(Timestamp::apache), "29/Feb/2024:12:34:56 +0000");
        assert_eq!(&moment.second(), b"2024-02-29T12:34:56");
        assert_eq!(moment.file_name(), "20240229T123456.007Z");
        assert!(Timestamp::is_file_name(&moment.file_name()));
        for other in [
            "",
            "1",
            "gz",
            "20240229T123456.007",
            "20240229T123456.007Z.gz",
            "2024-229T123456.007Z",
        ] {
            assert!(!Timestamp::is_file_name(other), "{other}");
        }
    }

    #[test]
    fn one_moment_after_the_other_is_written_as_it_is() {
        let mut clock = Clock::default();
        for (micros, text) in [
            (1_709_210_096_007_008, "2024-02-29T12:34:56.007008Z"),
            (1_709_210_096_999_999, "2024-02-29T12:34:56.999999Z"),
            (1_709_251_200_000_000, "2024-03-01T00:00:00.000000Z"),
            // Clocks are set back, too.
            (1_709_210_096_000_001, "2024-02-29T12:34:56.000001Z"),
            (0, "1970-01-01T00:00:00.000000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_micros(micros);
            let mut out = Vec::new();
            clock.write(time, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
    }

    #[test]
    fn a_moment_is_dated_as_the_clock_has_it() {
        const NEAR: Duration = Duration::from_millis(100);
        let mut clock = Clock::default();
        let (now, date) = (Instant::now(), SystemTime::now());
        let is_near = |told: SystemTime, expected: SystemTime| {
            let apart = told.duration_since(expected);
            apart.unwrap_or_else(|error| error.duration()) < NEAR
        };
        // Whether or not the clock was asked in between.
        for ahead in [0, 500, 900, 5_000, 5_100] {
            let ahead = Duration::from_millis(ahead);
            let told = clock.date(now + ahead);
            assert!(is_near(told, date + ahead), "{ahead:?}: {told:?}");
        }
        let before = Duration::from_secs(60);
        let told = clock.date(now - before);
        assert!(is_near(told, date - before), "{told:?}");
    }
}
