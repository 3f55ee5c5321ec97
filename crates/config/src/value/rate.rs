use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use super::text_value;

/// A rate, and how many may come at once: `100/s`, `600/m`, `1000/h`, `100/s burst 200`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    number: NonZeroU32,
    unit: Unit,
    burst: Option<NonZeroU32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
}

/// The error for text that is not a rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a rate: write a number from 1 up and a unit (`100/s`, `600/m`, `1000/h`), with a burst if more may \
     come at once: `100/s burst 200`"
)]
pub struct RateError(String);

text_value!(
    Rate,
    "a rate such as `\"100/s\"` or `\"100/s burst 200\"`",
    "^[0-9]+ ?/ ?(s|m|h)( burst [0-9]+)?$",
    ["100/s", "600/m burst 50"]
);

// === impl Rate ===

impl Rate {
    /// Returns how many are allowed in [`Rate::period`].
    #[must_use]
    pub const fn number(self) -> NonZeroU32 {
        self.number
    }

    /// Returns the period: a second, a minute or an hour.
    #[must_use]
    pub const fn period(self) -> Duration {
        Duration::from_secs(match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3_600,
        })
    }

    /// Returns the time after which one more is allowed.
    #[must_use]
    pub fn interval(self) -> Duration {
        self.period() / self.number.get()
    }

    /// Returns how many may come at once. Default: as many as in a period.
    #[must_use]
    pub fn burst(self) -> NonZeroU32 {
        self.burst.unwrap_or(self.number)
    }
}

// === impl Unit ===

impl Unit {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Second => "s",
            Self::Minute => "m",
            Self::Hour => "h",
        }
    }
}

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let error = || RateError(text.to_owned());
        let (rate, burst) = match text.split_once("burst") {
            Some((rate, burst)) => (rate, Some(burst.trim().parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let (number, unit) = rate.split_once('/').ok_or_else(error)?;
        Ok(Self {
            number: number.trim().parse().map_err(|_| error())?,
            unit: match unit.trim() {
                "s" => Unit::Second,
                "m" => Unit::Minute,
                "h" => Unit::Hour,
                _ => return Err(error()),
            },
            burst,
        })
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.unit.as_str())?;
        self.burst
            .map_or(Ok(()), |burst| write!(f, " burst {burst}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_unit_and_perhaps_a_burst() {
        let rate = |text: &str| text.parse::<Rate>().unwrap();
        let plain = rate("100/s");
        assert_eq!((plain.number().get(), plain.burst().get()), (100, 100));
        assert_eq!(plain.interval(), Duration::from_millis(10));
        let burst = rate("600 / m  burst 50");
        assert_eq!(burst.period(), Duration::from_secs(60));
        assert_eq!(burst.burst().get(), 50);
        assert_eq!(burst.to_string(), "600/m burst 50");
        assert_eq!(rate("3/h").interval(), Duration::from_secs(1_200));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in [
            "",
            "100",
            "0/s",
            "-1/s",
            "1.5/s",
            "1/d",
            "1/s burst",
            "1/s burst 0",
            "/s",
        ] {
            let error = text.parse::<Rate>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{text}`")), "{error}");
        }
    }
}
