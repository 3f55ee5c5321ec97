use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use headwater_core::AccessFormat;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use super::settings;
use crate::value::text_value;
use crate::{Count, Size};

settings! {
    /// The access log, with one line for each answered request. The section `[access_log]` turns it
    /// on, and so does each of these flags.
    #[command(next_help_heading = "Access log")]
    pub struct AccessLogSettings {
        /// Write a line for each answered request, with its service, its client, how long it took
        /// and the work done for it: as JSON, or in the combined format of web servers [default:
        /// json]
        #[flag("access-log", "FORMAT", "HEADWATER_ACCESS_LOG")]
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "json")]
        pub format: Option<AccessFormat>,

        /// Output: `stdout`, `stderr` or a file [default: stderr]
        #[flag("access-log-to", "stdout|stderr|FILE", "HEADWATER_ACCESS_LOG_TO")]
        pub to: Option<AccessTo>,

        /// Start a new file `hourly`, `daily`, at a size such as `100MiB`, or `never` [default:
        /// never]
        #[flag("access-log-rotate", "WHEN|SIZE", "HEADWATER_ACCESS_LOG_ROTATE")]
        pub rotate: Option<Rotate>,

        /// Number of old files to keep [default: all]
        #[flag("access-log-keep", "N", "HEADWATER_ACCESS_LOG_KEEP")]
        pub keep: Option<Count>,

        /// Share of requests to log, from 0 to 1. Requests that end in a fault of the host or the
        /// guest are always logged [default: 1]
        #[flag("access-log-sample", "0..1", "HEADWATER_ACCESS_LOG_SAMPLE")]
        pub sample: Option<Sample>,
    }
}

/// The output of the access log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessTo {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file.
    File(PathBuf),
}

/// The time or size at which a log starts a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotate {
    /// Never.
    Never,
    /// Every hour.
    Hourly,
    /// Every day.
    Daily,
    /// At this size.
    Size(Size),
}

/// The error for text that is not a rotation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rotation: write `never`, `hourly`, `daily`, or a size such as `100MiB`")]
pub struct RotateError(String);

/// A share of requests, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample(f64);

/// The error for a value that is not a share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not between 0 and 1: write a number from 0 (none) to 1 (all), such as 0.1")]
pub struct SampleError(String);

text_value!(
    AccessTo,
    "`\"stdout\"`, `\"stderr\"` or a file",
    "^.+$",
    ["stdout", "stderr", "access.log"]
);

text_value!(
    Rotate,
    "`\"never\"`, `\"hourly\"`, `\"daily\"` or a size such as `\"100MiB\"`",
    "^(never|hourly|daily|[0-9]+ ?(B|KiB|MiB|GiB))$",
    ["never", "daily", "100MiB"]
);

// === impl AccessTo ===

impl FromStr for AccessTo {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "stdout" => Self::Stdout,
            "stderr" => Self::Stderr,
            file => Self::File(file.into()),
        })
    }
}

// === impl Rotate ===

impl FromStr for Rotate {
    type Err = RotateError;

    fn from_str(text: &str) -> Result<Self, RotateError> {
        match text {
            "never" => Ok(Self::Never),
            "hourly" => Ok(Self::Hourly),
            "daily" => Ok(Self::Daily),
            size => match size.parse::<Size>() {
                Ok(size) if size.bytes() > 0 => Ok(Self::Size(size)),
                _ => Err(RotateError(text.to_owned())),
            },
        }
    }
}

// === impl Sample ===

impl Sample {
    /// Returns the share, from 0 to 1.
    #[must_use]
    pub const fn get(self) -> f64 {
        self.0
    }

    fn new(part: f64) -> Result<Self, SampleError> {
        match (0.0..=1.0).contains(&part) {
            true => Ok(Self(part)),
            false => Err(SampleError(part.to_string())),
        }
    }
}

impl FromStr for Sample {
    type Err = SampleError;

    fn from_str(text: &str) -> Result<Self, SampleError> {
        let part = text.parse().map_err(|_| SampleError(text.to_owned()))?;
        Self::new(part)
    }
}

impl<'de> Deserialize<'de> for Sample {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Part;
        impl Visitor<'_> for Part {
            type Value = Sample;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number from 0 to 1")
            }

            fn visit_f64<E: Error>(self, part: f64) -> Result<Sample, E> {
                Sample::new(part).map_err(E::custom)
            }

            fn visit_i64<E: Error>(self, part: i64) -> Result<Sample, E> {
                match part {
                    0 => Ok(Sample(0.0)),
                    1 => Ok(Sample(1.0)),
                    other => Err(E::custom(SampleError(other.to_string()))),
                }
            }
        }
        deserializer.deserialize_any(Part)
    }
}

impl JsonSchema for Sample {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Sample".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "title": "Sample", "type": "number", "minimum": 0, "maximum": 1 })
    }
}

impl AccessLogSettings {
    /// Returns true if any setting is given, which turns the log on.
    #[must_use]
    pub fn is_given(&self) -> bool {
        *self != Self::default()
    }

    pub(crate) fn within(&mut self, folder: &Path) {
        if let Some(AccessTo::File(file)) = &mut self.to {
            *file = folder.join(&*file);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_begun_by_time_or_size() {
        assert_eq!("daily".parse(), Ok(Rotate::Daily));
        assert_eq!("1MiB".parse(), Ok(Rotate::Size(Size::from(1 << 20))));
        for text in ["weekly", "0B", "", "100"] {
            let error = text.parse::<Rotate>().unwrap_err().to_string();
            assert!(error.contains("`hourly`"), "{error}");
        }
    }

    #[test]
    fn a_part_is_from_none_to_all() {
        assert_eq!("0.25".parse::<Sample>().unwrap().get(), 0.25);
        for text in ["-0.1", "1.5", "NaN", "half"] {
            assert!(text.parse::<Sample>().is_err(), "{text}");
        }
    }
}
