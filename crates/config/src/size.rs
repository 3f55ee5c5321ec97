/// Why text is no size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no size; write a whole number and a unit: `64KiB`, `10MiB`, `1GiB`, `500B`")]
pub struct SizeError(String);

/// Reads a size such as `64KiB`, `10MiB`, `1GiB` or `500B`. The result is in bytes.
///
/// # Errors
///
/// When the text is no whole number with one of these units, or is more than 2⁶⁴ bytes.
pub fn parse_size(text: &str) -> Result<u64, SizeError> {
    let error = || SizeError(text.to_owned());
    let unit_at = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| error())?;
    let shift = match unit.trim() {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(error()),
    };
    number.checked_mul(1 << shift).ok_or_else(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit() {
        assert_eq!(parse_size("500B"), Ok(500));
        assert_eq!(parse_size("64KiB"), Ok(64 << 10));
        assert_eq!(parse_size("10 MiB"), Ok(10 << 20));
        assert_eq!(parse_size("1GiB"), Ok(1 << 30));
        assert_eq!(parse_size("0B"), Ok(0));
    }

    #[test]
    fn anything_else_is_an_error_that_says_what_to_write() {
        for text in ["", "64", "KiB", "-1KiB", "1.5MiB", "64KB", "99999999999GiB"] {
            let error = parse_size(text).unwrap_err().to_string();
            assert!(error.contains("`64KiB`"), "{error}");
        }
    }
}
