//! Values that are written as text. Each parses the same text in a flag, a variable and a file, and
//! its error says what to write.

mod bounded;
mod count;
mod listen;
mod memory;
mod network;
mod range;
mod rate;
mod size;
mod tcp;
mod time;

pub use bounded::{Bounded, BoundedError};
pub use count::{Count, CountError};
pub use listen::{ListenAddress, ListenError};
pub use memory::{Memory, MemoryError};
pub use network::{Network, NetworkError};
pub use range::{Range, RangeError};
pub use rate::{Rate, RateError};
pub use size::{Size, SizeError};
pub use tcp::{TcpAddress, TcpAddressError};
pub use time::{Time, TimeError};

/// Implements `Deserialize` and `JsonSchema` for a type that is text (`FromStr`, `Display`).
///
/// With `or number`, the file may have a whole number without quotation marks.
macro_rules! text_value {
    ($type:ident, $expected:literal, $pattern:literal, [$($example:literal),+] $(, or $number:ident)?) => {
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $type;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expected)
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$type, E> {
                        text.parse().map_err(E::custom)
                    }

                    $(fn visit_i64<E: serde::de::Error>(self, $number: i64) -> Result<$type, E> {
                        $number.to_string().parse().map_err(E::custom)
                    })?
                }
                deserializer.deserialize_any(Text)
            }
        }

        impl schemars::JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                #[allow(unused_mut, reason = "a number is allowed for some only")]
                let mut schema = schemars::json_schema!({
                    "title": stringify!($type),
                    "type": "string",
                    "pattern": $pattern,
                    "examples": [$($example),+],
                });
                $(
                    let _ = stringify!($number);
                    schema.insert("type".to_owned(), serde_json::json!(["string", "integer"]));
                )?
                schema
            }
        }
    };
}
pub(crate) use text_value;
