//! Header fields that describe the transfer of a message rather than the message. The host sets them, on
//! incoming and outgoing requests.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

/// Hop-by-hop fields (RFC 9110, 7.6.1, and its predecessors). A guest that could set them could desynchronise
/// the connection.
const HOP_BY_HOP: [HeaderName; 6] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Returns true if a field is hop-by-hop.
#[must_use]
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(name)
}

/// Removes the hop-by-hop fields, including those that `connection` names.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            // A service cannot drop the message's own framing by naming it there.
            if name != CONTENT_LENGTH {
                headers.remove(name);
            }
        }
    }
    // Few responses have any: one pass over the names costs less than a search for each of these.
    if headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// The length that a message declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredLength {
    /// Nothing.
    None,
    /// This many bytes.
    Exactly(u64),
    /// Not a number, or several that differ.
    Invalid,
}

/// Reads `content-length`.
#[must_use]
pub fn declared_length(headers: &HeaderMap) -> DeclaredLength {
    // Most messages have none, and this check is cheaper than an iterator.
    if !headers.contains_key(CONTENT_LENGTH) {
        return DeclaredLength::None;
    }
    let values = headers.get_all(CONTENT_LENGTH).iter();
    agreed_length(values.map(HeaderValue::as_bytes))
}

/// Returns the length that all values of a message's `content-length` agree on. Several equal values, in one
/// field or in several, count as one (RFC 9110, 8.6).
#[must_use]
pub fn agreed_length<'a>(values: impl IntoIterator<Item = &'a [u8]>) -> DeclaredLength {
    let mut declared = DeclaredLength::None;
    for value in values {
        for member in value.split(|byte| *byte == b',') {
            match (parse_length(member), declared) {
                (Some(length), DeclaredLength::None) => declared = DeclaredLength::Exactly(length),
                (Some(length), DeclaredLength::Exactly(before)) if length == before => {}
                _ => return DeclaredLength::Invalid,
            }
        }
    }
    declared
}

/// Reads `content-length`, and merges several equal values into one, as RFC 9110 (8.6) requires before a
/// message is passed on.
pub fn settle_length(headers: &mut HeaderMap) -> DeclaredLength {
    let declared = declared_length(headers);
    if let DeclaredLength::Exactly(length) = declared
        && !is_single(headers)
    {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    declared
}

fn is_single(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let first = values.next();
    values.next().is_none() && first.is_none_or(|first| !first.as_bytes().contains(&b','))
}

/// Reads digits with optional blanks around them. `u64::from_str` would accept a sign, too.
fn parse_length(member: &[u8]) -> Option<u64> {
    let digits = member.trim_ascii();
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_the_connection_are_removed_and_the_others_stay() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Private"),
            ("connection", "content-length, content-type;"),
            ("x-private", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "close"),
            ("transfer-encoding", "chunked"),
            ("te", "trailers"),
            ("upgrade", "websocket"),
            ("content-length", "5"),
            ("content-type", "text/plain"),
            ("trailer", "x-sum"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        strip_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-length", "content-type", "trailer"]);
    }

    #[test]
    fn a_length_counts_only_if_it_is_one_number() {
        for (values, declared) in [
            (&[][..], DeclaredLength::None),
            (&["5"], DeclaredLength::Exactly(5)),
            (&["5", "5"], DeclaredLength::Exactly(5)),
            (&["5", "6"], DeclaredLength::Invalid),
            (&["5, 5"], DeclaredLength::Exactly(5)),
            (&["5,05", "5"], DeclaredLength::Exactly(5)),
            (&["5, 6"], DeclaredLength::Invalid),
            (&["5,"], DeclaredLength::Invalid),
            (&["5 5"], DeclaredLength::Invalid),
            (&["+5"], DeclaredLength::Invalid),
            (&[""], DeclaredLength::Invalid),
            (&["99999999999999999999999"], DeclaredLength::Invalid),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_LENGTH, HeaderValue::from_static(value));
            }
            assert_eq!(declared_length(&headers), declared, "{values:?}");
            assert_eq!(settle_length(&mut headers), declared, "{values:?}");
            let left: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            match declared {
                DeclaredLength::Exactly(_) => assert_eq!(left, ["5"], "{values:?}"),
                _ => assert_eq!(left, values),
            }
        }
    }
}
