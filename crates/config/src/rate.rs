use std::num::IntErrorKind;
use std::time::Duration;

/// So many requests in such a time, by a token bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests, at least one...
    pub requests: u32,
    /// ...in this time: a second, a minute or an hour.
    pub period: Duration,
    /// Requests that may come at once after a pause, at least one. Default: as many as in the time.
    pub burst: u32,
}

/// Why text is no rate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no rate: write `100/s`, `600/m` or `1000/h`, and ` burst 200` behind it if more may come \
     at once"
)]
pub struct RateError(String);

/// Reads a rate such as `100/s`, `600/m` or `100/s burst 200`.
///
/// ```
/// # use std::time::Duration;
/// let rate = headwater_config::parse_rate("600/m burst 20").unwrap();
/// assert_eq!((rate.requests, rate.burst), (600, 20));
/// assert_eq!(rate.period, Duration::from_secs(60));
/// assert!(headwater_config::parse_rate("600").is_err());
/// ```
///
/// # Errors
///
/// When it is of another form, or has a zero.
pub fn parse_rate(text: &str) -> Result<Rate, RateError> {
    read(text).ok_or_else(|| RateError(text.to_owned()))
}

fn read(text: &str) -> Option<Rate> {
    let (rate, burst) = match text.split_once("burst") {
        Some((rate, burst)) => (rate.trim(), Some(count(burst.trim())?)),
        None => (text.trim(), None),
    };
    let (requests, unit) = rate.split_once('/')?;
    let requests = count(requests.trim())?;
    let period = match unit.trim() {
        "s" => Duration::from_secs(1),
        "m" => Duration::from_secs(60),
        "h" => Duration::from_secs(3_600),
        _ => return None,
    };
    Some(Rate {
        requests,
        period,
        burst: burst.unwrap_or(requests),
    })
}

/// A number that is not zero; one too large is the largest.
fn count(text: &str) -> Option<u32> {
    match text.parse() {
        Ok(0) => None,
        Ok(number) => Some(number),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(u32::MAX),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_has_a_number_and_a_time_and_perhaps_a_burst() {
        let second = Duration::from_secs(1);
        for (text, expected) in [
            ("100/s", Some((100, second, 100))),
            ("100 / s", Some((100, second, 100))),
            ("1/h", Some((1, Duration::from_secs(3_600), 1))),
            ("100/s burst 5", Some((100, second, 5))),
            ("99999999999/s", Some((u32::MAX, second, u32::MAX))),
            ("0/s", None),
            ("100/s burst 0", None),
            ("100", None),
            ("/s", None),
            ("-1/s", None),
            ("1/d", None),
            ("100/s burst", None),
            ("", None),
        ] {
            let rate = parse_rate(text).map(|rate| (rate.requests, rate.period, rate.burst));
            assert_eq!(rate.ok(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_no_rate_is_named() {
        let error = parse_rate("often").unwrap_err().to_string();
        assert!(error.contains("`often`") && error.contains("100/s"), "{error}");
    }
}
