//! The `tracestate` header, read strictly.

use headwater_core::TraceState;
use http::header::{HeaderMap, HeaderName};

/// The maximum length of a combined `tracestate` that is passed on, in bytes: the least that the
/// standard asks everybody to propagate (W3C Trace Context, 3.3.1.5). It is copied to every
/// outgoing request.
const MAX_LEN: usize = 512;
/// The maximum number of list members in the standard.
const MAX_MEMBERS: usize = 32;

/// Reads the headers called `name`, combined (RFC 9110, 5.2); empty if malformed or oversized.
pub(crate) fn extract(headers: &HeaderMap, name: &HeaderName) -> TraceState {
    parse(headers, name).unwrap_or_default()
}

fn parse(headers: &HeaderMap, name: &HeaderName) -> Option<TraceState> {
    let mut members: Vec<(&str, &str)> = Vec::new();
    let mut len = 0;
    for value in headers.get_all(name) {
        len += value.len() + usize::from(len > 0);
        if len > MAX_LEN {
            return None;
        }
        for member in value.to_str().ok()?.split(',') {
            let member = member.trim_matches([' ', '\t']);
            // The standard allows empty members, as left over from split lists.
            if member.is_empty() {
                continue;
            }
            let (key, value) = member.split_once('=')?;
            let repeated = members.iter().any(|(other, _)| *other == key);
            if repeated || members.len() == MAX_MEMBERS || !valid_key(key) || !valid_value(value) {
                return None;
            }
            members.push((key, value));
        }
    }
    TraceState::from_key_value(members).ok()
}

/// W3C Trace Context, 3.3.1.3.1: a simple key, or `tenant@system`.
fn valid_key(key: &str) -> bool {
    let part = |part: &str, max: usize, digit_first: bool| {
        let first = part.as_bytes().first().is_some_and(|first| {
            first.is_ascii_lowercase() || digit_first && first.is_ascii_digit()
        });
        first
            && part.len() <= max
            && part.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-*/".contains(&byte)
            })
    };
    match key.split_once('@') {
        Some((tenant, system)) => part(tenant, 241, true) && part(system, 14, false),
        // Level 2 of the standard lets a simple key begin with a digit.
        None => part(key, 256, true),
    }
}

/// W3C Trace Context, 3.3.1.3.2: printable ASCII except comma and equals, without a trailing space.
fn valid_value(value: &str) -> bool {
    (1..=256).contains(&value.len())
        && !value.ends_with(' ')
        && value
            .bytes()
            .all(|byte| matches!(byte, b' '..=b'~') && !b",=".contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const NAME: HeaderName = HeaderName::from_static("tracestate");

    fn read(values: &[&str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(NAME, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        extract(&headers, &NAME).header()
    }

    #[test]
    fn a_well_formed_tracestate_is_carried_in_its_order() {
        assert_eq!(read(&[]), "");
        assert_eq!(read(&["b=2,a=1"]), "b=2,a=1");
        assert_eq!(read(&["b=2 ,\t a=x y"]), "b=2,a=x y");
        assert_eq!(read(&["a=1,,b=2,"]), "a=1,b=2");
        assert_eq!(read(&["a=1", "b=2,c=3"]), "a=1,b=2,c=3");
        assert_eq!(read(&["t-1@sys*/_=1,0a=2"]), "t-1@sys*/_=1,0a=2");
    }

    #[test]
    fn a_malformed_or_oversized_tracestate_is_dropped_whole() {
        let members = |count| (0..count).map(|i| format!("k{i}=v")).collect::<Vec<_>>();
        assert_eq!(read(&[&members(32).join(",")]), members(32).join(","));
        for value in [
            "a",
            "=1",
            "a=",
            "a==1",
            "a=1=2",
            "A=1",
            "a=\u{e9}",
            "a b=1",
            "a=1,a=2",
            "@b=1",
            "a@=1",
            "a@b@c=1",
            "a@1b=1",
            "good=1,bad",
            &members(33).join(","),
            &format!("{}=1", "a".repeat(257)),
            &format!("a={}", "1".repeat(257)),
            &format!("a={},b={}", "1".repeat(255), "2".repeat(254)),
        ] {
            assert_eq!(read(&[value]), "", "{value}");
        }
        assert_eq!(read(&["a=1", "a=2"]), "", "repeated in another header");
    }
}
