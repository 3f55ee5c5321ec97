use std::fmt;
use std::str::FromStr;

use super::text_value;
use crate::{SizeError, parse_size};

/// A number of bytes: `500B`, `64KiB`, `10MiB`, `1GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

text_value!(
    Size,
    "a size such as `\"64KiB\"`",
    "^[0-9]+ ?(B|KiB|MiB|GiB)$",
    ["64KiB", "10MiB", "1GiB"]
);

impl Size {
    /// In bytes.
    #[must_use]
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// In bytes, as many as can be in memory.
    #[must_use]
    pub fn in_memory(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        parse_size(text).map(Self)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
        let whole = |shift| self.0 != 0 && self.0.trailing_zeros() >= shift;
        match units.into_iter().find(|(shift, _)| whole(*shift)) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_it_is_printed_it_means_the_same() {
        for text in ["0B", "500B", "64KiB", "1025KiB", "10MiB", "1GiB"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
        }
        assert_eq!("1024KiB".parse::<Size>().unwrap().to_string(), "1MiB");
    }
}
