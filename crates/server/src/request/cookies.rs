//! Joins cookies, which HTTP/2 may split.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{COOKIE, HeaderMap};

/// Joins several `cookie` fields into one. HTTP/2 allows clients to send each cookie in its own field, as
/// browsers do, and requires one field before the request is passed on (RFC 9113 8.2.3).
pub(crate) fn join(headers: &mut HeaderMap) {
    let mut fields = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (fields.next(), fields.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for field in std::iter::once(second).chain(fields) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(field.as_bytes());
    }
    // Cannot fail: the parts are valid values.
    if let Ok(joined) = HeaderValue::from_maybe_shared(Bytes::from(joined)) {
        headers.insert(COOKIE, joined);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_of_several_fields_become_one_in_their_order() {
        for (fields, joined) in [
            (
                &["a=b", "c=d; e=f", "g=\u{e9}"][..],
                "a=b; c=d; e=f; g=\u{e9}",
            ),
            (&["a=b"], "a=b"),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                let value = HeaderValue::from_bytes(field.as_bytes()).unwrap();
                headers.append(COOKIE, value);
            }
            join(&mut headers);
            let left: Vec<_> = headers.get_all(COOKIE).iter().collect();
            assert_eq!(left.len(), 1);
            assert_eq!(left[0].as_bytes(), joined.as_bytes());
        }
        let mut none = HeaderMap::new();
        join(&mut none);
        assert!(none.is_empty());
    }
}
