use std::time::Duration;

/// Why text is no duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no duration; write a number and a unit: `500ms`, `30s`, `2m`, `1h`")]
pub struct DurationError(String);

/// Reads a duration such as `500ms`, `30s`, `1.5s`, `2m` or `1h`.
///
/// # Errors
///
/// When the text has no number, no unit, another unit, or is not a finite positive length of time.
pub fn parse_duration(text: &str) -> Result<Duration, DurationError> {
    let error = || DurationError(text.to_owned());
    let unit_at = text
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .ok_or_else(error)?;
    let (number, unit) = text.split_at(unit_at);
    let number: f64 = number.parse().map_err(|_| error())?;
    let seconds = match unit.trim() {
        "ms" => number / 1_000.0,
        "s" => number,
        "m" => number * 60.0,
        "h" => number * 3_600.0,
        _ => return Err(error()),
    };
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let ok = |text: &str| parse_duration(text).unwrap();
        assert_eq!(ok("500ms"), Duration::from_millis(500));
        assert_eq!(ok("30s"), Duration::from_secs(30));
        assert_eq!(ok("1.5s"), Duration::from_millis(1_500));
        assert_eq!(ok("2m"), Duration::from_secs(120));
        assert_eq!(ok("1h"), Duration::from_secs(3_600));
    }

    #[test]
    fn anything_else_is_refused_by_name() {
        for text in [
            "",
            "30",
            "s",
            "-1s",
            "0s",
            "1d",
            "1e400h",
            "999999999999999999999h",
        ] {
            let error = parse_duration(text).unwrap_err();
            assert!(error.to_string().contains(&format!("`{text}`")), "{error}");
        }
    }
}
