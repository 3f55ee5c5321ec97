use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::text_value;

/// A number from 1 up, or a range of such: `1000`, `750-1000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(RangeInclusive<usize>);

/// The error for text that is not a range of numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a number from 1 to 1000000000 or a range of these: write `1000` or `750-1000`"
)]
pub struct RangeError(String);

text_value!(
    Range,
    "a number or a range such as `\"750-1000\"`",
    "^[0-9]+( ?- ?[0-9]+)?$",
    ["1000", "750-1000"],
    or number
);

/// The same as that of `Count`.
const MOST: usize = 1_000_000_000;

impl Range {
    /// Returns the range, which includes both ends.
    #[must_use]
    pub fn get(&self) -> RangeInclusive<usize> {
        self.0.clone()
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let (least, most) = text.split_once('-').unwrap_or((text, text));
        match (least.trim().parse(), most.trim().parse()) {
            (Ok(least), Ok(most)) if 0 < least && least <= most && most <= MOST => {
                Ok(Self(least..=most))
            }
            _ => Err(RangeError(text.to_owned())),
        }
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0.start(), self.0.end()) {
            (least, most) if least == most => write!(f, "{least}"),
            (least, most) => write!(f, "{least}-{most}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_number_or_two() {
        let range = |text: &str| text.parse::<Range>().map(|range| range.get());
        assert_eq!(range("7"), Ok(7..=7));
        assert_eq!(range("750-1000"), Ok(750..=1000));
        assert_eq!(range("1 - 2"), Ok(1..=2));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in [
            "",
            "0",
            "1000000001",
            "1-1000000001",
            "0-3",
            "3-2",
            "-2",
            "1-",
            "a",
        ] {
            let error = text.parse::<Range>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
