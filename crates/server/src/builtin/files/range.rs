//! The range that a request asks for.
//!
//! tower-http answers 416 to most ranges that servers have to ignore by RFC 9110 (14.2), so it gets only
//! those that it understands.

use http::header::{HeaderMap, HeaderValue, IF_RANGE, RANGE};
use http::{Method, request};

/// The part of a file that a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    Whole,
    Range(Range),
}

/// A range of bytes (RFC 9110 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// From the first byte to the last, inclusive.
    Between(u64, u64),
    /// From this byte to the end.
    From(u64),
    /// The last bytes, this many.
    Last(u64),
}

// === impl Asked ===

impl Asked {
    pub(super) fn by(head: &request::Parts) -> Self {
        let headers = &head.headers;
        // A range counts only with GET. tower-http ignores `If-Range`, so a client would join a range of a
        // changed file to one of the old file; the whole file is always right (RFC 9110 13.1.5).
        if head.method != Method::GET || headers.contains_key(IF_RANGE) {
            return Self::Whole;
        }
        let mut values = headers.get_all(RANGE).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => Range::read(value).map_or(Self::Whole, Self::Range),
            _ => Self::Whole,
        }
    }

    /// Writes the range in the form that tower-http understands.
    pub(super) fn put(self, headers: &mut HeaderMap) {
        let value = match self {
            Self::Whole => None,
            Self::Range(range) => HeaderValue::from_str(&range.to_string()).ok(),
        };
        match value {
            Some(value) => headers.insert(RANGE, value),
            None => headers.remove(RANGE),
        };
    }

    /// Returns true if any file that is not empty satisfies the range.
    pub(super) fn is_of_any(self) -> bool {
        matches!(self, Self::Range(Range::Last(1..)))
    }
}

// === impl Range ===

impl Range {
    /// Returns the one range of a field; `None` for another unit, several ranges, or a malformed field.
    fn read(value: &HeaderValue) -> Option<Self> {
        let (unit, ranges) = value.to_str().ok()?.split_once('=')?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        // Empty list elements are ignored (RFC 9110 5.6.1.2).
        let mut ranges = ranges
            .split(',')
            .map(|range| range.trim_matches([' ', '\t']))
            .filter(|range| !range.is_empty());
        let (Some(range), None) = (ranges.next(), ranges.next()) else {
            return None;
        };
        match range.split_once('-')? {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?)),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                (first <= last).then_some(Self::Between(first, last))
            }
        }
    }
}

/// Parses a number; a number too large for `u64` becomes the greatest.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Between(first, last) => write!(f, "bytes={first}-{last}"),
            Self::From(first) => write!(f, "bytes={first}-"),
            Self::Last(count) => write!(f, "bytes=-{count}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(method: Method, fields: &[(&'static str, &'static str)]) -> Asked {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = method;
        for (name, value) in fields {
            head.headers.append(*name, HeaderValue::from_static(value));
        }
        Asked::by(&head)
    }

    #[test]
    fn one_range_of_bytes_is_one_and_all_else_asks_for_the_whole() {
        use Range::{Between, From, Last};
        for (value, expected) in [
            ("bytes=0-1", Some(Between(0, 1))),
            ("BYTES=00-01", Some(Between(0, 1))),
            ("bytes= 3-3 ,", Some(Between(3, 3))),
            ("bytes=7-", Some(From(7))),
            ("bytes=-7", Some(Last(7))),
            ("bytes=-0", Some(Last(0))),
            (
                "bytes=1-99999999999999999999999999",
                Some(Between(1, u64::MAX)),
            ),
            ("bytes=99999999999999999999999999-", Some(From(u64::MAX))),
            ("items=0-1", None),
            ("bytes", None),
            ("bytes=", None),
            ("bytes=-", None),
            ("bytes=abc", None),
            ("bytes=+1-2", None),
            ("bytes=3-1", None),
            ("bytes=1-2-3", None),
            ("bytes=1 - 2", None),
            ("bytes=0-1,3-4", None),
            ("bytes =0-1", None),
        ] {
            let expected = expected.map_or(Asked::Whole, Asked::Range);
            assert_eq!(asked(Method::GET, &[("range", value)]), expected, "{value}");
        }
    }

    #[test]
    fn a_range_counts_only_where_it_can() {
        let range = ("range", "bytes=0-1");
        assert_eq!(asked(Method::HEAD, &[range]), Asked::Whole);
        assert_eq!(asked(Method::GET, &[range, range]), Asked::Whole);
        let condition = ("if-range", "\"a\"");
        assert_eq!(asked(Method::GET, &[range, condition]), Asked::Whole);
    }

    #[test]
    fn what_was_read_is_written_as_it_was_meant() {
        let mut headers = HeaderMap::new();
        for value in ["bytes=0-1", "bytes=5-", "bytes=-5"] {
            asked(Method::GET, &[("range", value)]).put(&mut headers);
            assert_eq!(headers[RANGE], value);
        }
        Asked::Whole.put(&mut headers);
        assert!(headers.is_empty());
    }
}
