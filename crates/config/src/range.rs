use std::ops::RangeInclusive;

/// Why text is no range of numbers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no number from 1 up, and no range of such: `1000`, `750-1000`")]
pub struct RangeError(String);

/// Reads a number such as `1000`, or a range such as `750-1000`, both from 1 up.
///
/// # Errors
///
/// When the text is neither, or the range is empty.
pub fn parse_range(text: &str) -> Result<RangeInclusive<usize>, RangeError> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    match (least.trim().parse(), most.trim().parse()) {
        (Ok(least), Ok(most)) if 0 < least && least <= most => Ok(least..=most),
        _ => Err(RangeError(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_number_or_two() {
        assert_eq!(parse_range("7"), Ok(7..=7));
        assert_eq!(parse_range("750-1000"), Ok(750..=1000));
        assert_eq!(parse_range("1 - 2"), Ok(1..=2));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in ["", "0", "0-3", "3-2", "-2", "1-", "a"] {
            let error = parse_range(text).unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
