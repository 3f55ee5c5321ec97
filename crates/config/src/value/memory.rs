use std::fmt;
use std::str::FromStr;

use super::{Size, text_value};

/// The size of a guest's memory, from 1 MiB to 4 GiB: `64MiB`, `1GiB`, or `64`, which is in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(u64);

/// The error for text that is not a size of a guest's memory.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a size from 1 MiB to 4 GiB: write a whole number and a unit: `64MiB`, `1GiB` (a \
     number without a unit is in MiB)"
)]
pub struct MemoryError(String);

/// The most that a 32-bit guest can address, in MiB.
const MOST: u64 = 4 << 10;

text_value!(
    Memory,
    "a size of memory such as `\"64MiB\"`",
    "^[0-9]+ ?(MiB|GiB)?$",
    ["64MiB", "1GiB"],
    or number
);

impl Memory {
    /// Returns the size in bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the size in bytes, at most `usize::MAX`.
    #[must_use]
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Memory {
    type Err = MemoryError;

    fn from_str(text: &str) -> Result<Self, MemoryError> {
        let error = || MemoryError(text.to_owned());
        let unit_at = text
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number.parse().map_err(|_| error())?;
        let mib = match unit.trim() {
            "" | "MiB" => Some(number),
            "GiB" => number.checked_mul(1 << 10),
            _ => None,
        };
        match mib {
            Some(mib @ 1..=MOST) => Ok(Self(mib << 20)),
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Size::from(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit_or_a_number_of_mib() {
        let memory = |text: &str| text.parse::<Memory>().map(Memory::bytes);
        assert_eq!(memory("64MiB"), Ok(64 << 20));
        assert_eq!(memory("64 MiB"), Ok(64 << 20));
        assert_eq!(memory("64"), Ok(64 << 20));
        assert_eq!(memory("1"), Ok(1 << 20));
        assert_eq!(memory("4GiB"), Ok(4 << 30));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in [
            "",
            "0",
            "0MiB",
            "MiB",
            "-1",
            "1.5GiB",
            "64MB",
            "64k",
            "5GiB",
            "4097",
            "18014398509481985GiB",
            "99999999999999999999",
        ] {
            let error = text.parse::<Memory>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
