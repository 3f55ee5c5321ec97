use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A whole number from 1 to 1,000,000,000, more than anything that is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count(usize);

/// The error for a value that is not such a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` must be 1 or more, and at most 1000000000: write a whole number in this range")]
pub struct CountError(String);

/// The users of counts take less than a `usize` can hold, such as tokio's semaphores.
const MOST: usize = 1_000_000_000;

impl Count {
    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl TryFrom<i64> for Count {
    type Error = CountError;

    fn try_from(number: i64) -> Result<Self, CountError> {
        match usize::try_from(number) {
            Ok(count @ 1..=MOST) => Ok(Self(count)),
            _ => Err(CountError(number.to_string())),
        }
    }
}

impl FromStr for Count {
    type Err = CountError;

    fn from_str(text: &str) -> Result<Self, CountError> {
        match text.parse() {
            Ok(count @ 1..=MOST) => Ok(Self(count)),
            _ => Err(CountError(text.to_owned())),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Count;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number from 1 to 1000000000")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Count, E> {
                Count::try_from(number).map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Number)
    }
}

impl JsonSchema for Count {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Count".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "Count", "type": "integer", "minimum": 1, "maximum": MOST })
    }
}
