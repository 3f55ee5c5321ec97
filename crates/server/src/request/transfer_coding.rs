//! Checks the transfer coding of a request's body.

use headwater_core::Fault;
use http::HeaderMap;
use http::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};

/// Refuses transfer codings other than `chunked` with a 501, after which the connection is closed (RFC 9112 6.1
/// and 7). hyper decodes only that one, and services, which do not see the field, would take the still encoded
/// rest for the body.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Fault> {
    if !headers.contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let fields = headers.get_all(TRANSFER_ENCODING);
    let mut codings = fields
        .iter()
        .flat_map(|field| field.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        // Empty list elements are ignored (RFC 9110 5.6.1.2).
        .filter(|coding| !coding.is_empty());
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Fault::not_implemented(
            "transfer_coding",
            "the request's body is in a transfer coding other than chunked",
        )
        .with_field(CONNECTION, HeaderValue::from_static("close"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_once_is_all_that_is_understood() {
        for (fields, is_understood) in [
            (&[][..], true),
            (&["chunked"], true),
            (&[", CHUNKED"], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["identity, chunked"], false),
            (&["chunked;a=b"], false),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(TRANSFER_ENCODING, HeaderValue::from_static(field));
            }
            assert_eq!(check(&headers).is_ok(), is_understood, "{fields:?}");
        }
    }
}
