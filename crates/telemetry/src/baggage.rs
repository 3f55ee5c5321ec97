//! The `baggage` header (<https://www.w3.org/TR/baggage/>), read strictly.

use http::header::{HeaderMap, HeaderName};

/// The maximum that is passed on, in bytes and in members: the least that the standard asks
/// everybody to propagate (W3C Baggage, 3.3.2).
const MAX_LEN: usize = 8192;
const MAX_MEMBERS: usize = 64;

/// Returns true if the headers called `name` together are well-formed baggage within the limits.
pub(crate) fn is_well_formed(headers: &HeaderMap, name: &HeaderName) -> bool {
    let mut len = 0;
    let mut members = 0;
    for value in headers.get_all(name) {
        len += value.len() + usize::from(len > 0);
        if len > MAX_LEN {
            return false;
        }
        for member in value.as_bytes().split(|byte| *byte == b',') {
            members += 1;
            if members > MAX_MEMBERS || !is_member(member) {
                return false;
            }
        }
    }
    true
}

/// Returns true for `key=value`, followed by properties of the form `;key` or `;key=value`.
fn is_member(member: &[u8]) -> bool {
    let mut parts = member.split(|byte| *byte == b';');
    let pair = parts.next().is_some_and(|part| is_pair(part, true));
    pair && parts.all(|part| is_pair(part, false))
}

fn is_pair(part: &[u8], needs_value: bool) -> bool {
    let mut sides = part.splitn(2, |byte| *byte == b'=');
    let key = sides.next().unwrap_or_default().trim_ascii();
    let value = sides.next().map(<[u8]>::trim_ascii);
    let key = !key.is_empty() && key.iter().all(is_token);
    key && value.map_or(!needs_value, |value| value.iter().all(is_value))
}

/// RFC 9110, 5.6.2.
fn is_token(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte)
}

/// W3C Baggage, 3.3.1: printable ASCII except space, quote, comma, semicolon and backslash.
fn is_value(byte: &u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(byte)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("baggage");

    fn survives(values: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        is_well_formed(&headers, &NAME)
    }

    #[test]
    fn what_the_standard_allows_is_well_formed() {
        for value in ["a=1", "a=1, b=x%20y ;p=1; q , c=", "user=alice;a", "k=a=b"] {
            assert!(survives(&[value]), "{value}");
        }
        assert!(survives(&["a=1", "b=2"]));
    }

    #[test]
    fn what_is_malformed_or_oversized_is_not() {
        let many = vec!["a=1"; MAX_MEMBERS + 1].join(",");
        let long = format!("a={}", "x".repeat(MAX_LEN));
        for value in [
            "", "a", "=1", "a b=1", "a=1 2", "a=\"", "a=1,,b=2", "a=1;=2", "a=\u{e9}",
        ] {
            assert!(!survives(&[value]), "{value}");
        }
        assert!(!survives(&[&many]));
        assert!(!survives(&[&long]));
        assert!(!survives(&["a=1", "bad"]));
    }
}
