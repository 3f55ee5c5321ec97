use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text_value;

/// A duration: `500ms`, `30s`, `1.5s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

/// The error for text that is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a duration up to 100 years: write a number and a unit: `500ms`, `30s`, `2m`, `1h`"
)]
pub struct TimeError(String);

text_value!(
    Time,
    "a length of time such as `\"30s\"`",
    r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h)$",
    ["500ms", "30s", "2m"]
);

/// A hundred years. The system's clock cannot represent times that are much further away.
const MOST: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

impl Time {
    /// Returns the duration as the standard library's type.
    #[must_use]
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Time {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl FromStr for Time {
    type Err = TimeError;

    /// Parses a number and a unit, which must make a finite duration above zero.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let error = || TimeError(text.to_owned());
        let unit_at = text
            .find(|character: char| !character.is_ascii_digit() && character != '.')
            .ok_or_else(error)?;
        let (number, unit) = text.split_at(unit_at);
        let number: f64 = number.parse().map_err(|_| error())?;
        let seconds = match unit.trim() {
            "ms" => number / 1_000.0,
            "s" => number,
            "m" => number * 60.0,
            "h" => number * 3_600.0,
            _ => return Err(error()),
        };
        match Duration::try_from_secs_f64(seconds) {
            Ok(duration) if !duration.is_zero() && duration <= MOST => Ok(Self(duration)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, seconds) = (self.0.as_millis(), self.0.as_secs());
        match (millis % 1_000, seconds % 60, seconds % 3_600) {
            (0, 0, 0) => write!(f, "{}h", seconds / 3_600),
            (0, 0, _) => write!(f, "{}m", seconds / 60),
            (0, ..) => write!(f, "{seconds}s"),
            _ => write!(f, "{millis}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_it_is_printed_it_means_the_same() {
        for (text, printed) in [
            ("1500ms", "1500ms"),
            ("1.5s", "1500ms"),
            ("30s", "30s"),
            ("90s", "90s"),
            ("120s", "2m"),
            ("60m", "1h"),
        ] {
            let time: Time = text.parse().unwrap();
            assert_eq!(time.to_string(), printed);
            assert_eq!(printed.parse(), Ok(time));
        }
    }

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let ok = |text: &str| text.parse::<Time>().unwrap().get();
        assert_eq!(ok("500ms"), Duration::from_millis(500));
        assert_eq!(ok("30s"), Duration::from_secs(30));
        assert_eq!(ok("1.5s"), Duration::from_millis(1_500));
        assert_eq!(ok("2m"), Duration::from_secs(120));
        assert_eq!(ok("1h"), Duration::from_secs(3_600));
        assert_eq!(ok("876000h"), MOST);
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "0s",
            "1d",
            "876001h",
            "1e400h",
            "999999999999999999999h",
        ] {
            let error = text.parse::<Time>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
