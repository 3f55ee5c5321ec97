use std::fmt;
use std::str::FromStr;

use super::{Size, text_value};
use crate::{MemoryError, parse_memory};

/// The memory of a guest: `64MiB`, `1GiB`, or `64`, which is in MiB. From 1 MiB to 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(u64);

text_value!(
    Memory,
    "a size of memory such as `\"64MiB\"`",
    "^[0-9]+ ?(MiB|GiB)?$",
    ["64MiB", "1GiB"],
    or number
);

impl Memory {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Memory {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<Self, MemoryError> {
        parse_memory(text).map(Self)
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size::from(self.0).fmt(f)
    }
}
