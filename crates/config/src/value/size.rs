use std::fmt;
use std::str::FromStr;

use super::text_value;

/// A number of bytes: `500B`, `64KiB`, `10MiB`, `1GiB`, or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// The error for text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write a whole number and a unit: `64KiB`, `10MiB`, `1GiB`, `500B`")]
pub struct SizeError(String);

text_value!(
    Size,
    "a size such as `\"64KiB\"`",
    "^(0|[0-9]+ ?(B|KiB|MiB|GiB))$",
    ["64KiB", "10MiB", "1GiB"]
);

impl Size {
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

impl From<u64> for Size {
    fn from(bytes: u64) -> Self {
        Self(bytes)
    }
}

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let error = || SizeError(text.to_owned());
        let unit_at = text
            .find(|character: char| !character.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let number: u64 = number.parse().map_err(|_| error())?;
        let shift = match unit.trim() {
            "B" => 0,
            // Zero needs no unit.
            "" if number == 0 => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => return Err(error()),
        };
        let bytes = number.checked_mul(1 << shift).ok_or_else(error)?;
        Ok(Self(bytes))
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

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        let size = |text: &str| text.parse::<Size>().map(Size::bytes);
        assert_eq!(size("500B"), Ok(500));
        assert_eq!(size("64KiB"), Ok(64 << 10));
        assert_eq!(size("10 MiB"), Ok(10 << 20));
        assert_eq!(size("1GiB"), Ok(1 << 30));
        assert_eq!(size("0B"), Ok(0));
        assert_eq!(size("0"), Ok(0));
    }

    #[test]
    fn anything_else_is_an_error_that_says_what_to_write() {
        for text in ["", "64", "KiB", "-1KiB", "1.5MiB", "64KB", "99999999999GiB"] {
            let error = text.parse::<Size>().unwrap_err().to_string();
            assert!(error.contains("`64KiB`"), "{error}");
        }
    }
}
