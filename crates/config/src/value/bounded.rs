use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A whole number from `LEAST` to `MOST`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Bounded<const LEAST: u32, const MOST: u32>(u32);

/// The error for a value outside these bounds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{said}` is out of bounds: write a whole number from {least} to {most}")]
pub struct BoundedError {
    said: String,
    least: u32,
    most: u32,
}

// === impl Bounded ===

impl<const LEAST: u32, const MOST: u32> Bounded<LEAST, MOST> {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Returns the number as a `usize`, for things in memory.
    #[must_use]
    pub fn count(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// Makes a number that is known to be within the bounds. Code with another one does not
    /// compile.
    #[must_use]
    pub const fn known<const NUMBER: u32>() -> Self {
        const { assert!(LEAST <= NUMBER && NUMBER <= MOST, "out of bounds") };
        Self(NUMBER)
    }

    fn new(number: Option<u32>, said: impl fmt::Display) -> Result<Self, BoundedError> {
        match number {
            Some(number) if (LEAST..=MOST).contains(&number) => Ok(Self(number)),
            _ => Err(BoundedError {
                said: said.to_string(),
                least: LEAST,
                most: MOST,
            }),
        }
    }
}

impl<const LEAST: u32, const MOST: u32> TryFrom<i64> for Bounded<LEAST, MOST> {
    type Error = BoundedError;

    fn try_from(number: i64) -> Result<Self, BoundedError> {
        Self::new(number.try_into().ok(), number)
    }
}

impl<const LEAST: u32, const MOST: u32> FromStr for Bounded<LEAST, MOST> {
    type Err = BoundedError;

    fn from_str(text: &str) -> Result<Self, BoundedError> {
        Self::new(text.parse().ok(), text)
    }
}

impl<const LEAST: u32, const MOST: u32> fmt::Display for Bounded<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Bounded<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const LEAST: u32, const MOST: u32>;
        impl<const LEAST: u32, const MOST: u32> Visitor<'_> for Number<LEAST, MOST> {
            type Value = Bounded<LEAST, MOST>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {LEAST} to {MOST}")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                number.try_into().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl<const LEAST: u32, const MOST: u32> JsonSchema for Bounded<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Bounded{LEAST}To{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": LEAST, "maximum": MOST })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Status = Bounded<200, 599>;

    #[test]
    fn a_number_is_within_its_bounds_wherever_it_is_said() {
        let number = |text: &str| text.parse::<Status>().map(Status::get);
        assert_eq!((number("200"), number("599")), (Ok(200), Ok(599)));
        assert_eq!(Status::try_from(404).map(Status::get), Ok(404));
        for wrong in ["199", "600", "-200", "99999999999", "2e2", ""] {
            let error = wrong.parse::<Status>().unwrap_err().to_string();
            assert!(error.contains(&format!("`{wrong}`")), "{error}");
            assert!(error.contains("from 200 to 599"), "{error}");
        }
        for wrong in [-1, 199, 600, i64::MAX] {
            assert!(Status::try_from(wrong).is_err(), "{wrong}");
        }
    }
}
