use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::text_value;
use crate::{DurationError, parse_duration};

/// A length of time: `500ms`, `30s`, `1.5s`, `2m`, `1h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(Duration);

text_value!(
    Time,
    "a length of time such as `\"30s\"`",
    r"^[0-9]+(\.[0-9]+)? ?(ms|s|m|h)$",
    ["500ms", "30s", "2m"]
);

impl Time {
    /// The time as the standard library has it.
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
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        parse_duration(text).map(Self)
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
}
