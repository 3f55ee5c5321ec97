use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::text_value;
use crate::{RangeError, parse_range};

/// A number from 1 up, or a range of such: `1000`, `750-1000`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range(RangeInclusive<usize>);

text_value!(
    Range,
    "a number or a range such as `\"750-1000\"`",
    "^[0-9]+( ?- ?[0-9]+)?$",
    ["1000", "750-1000"],
    or number
);

impl Range {
    /// Both ends are of it.
    #[must_use]
    pub fn get(&self) -> RangeInclusive<usize> {
        self.0.clone()
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        parse_range(text).map(Self)
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
