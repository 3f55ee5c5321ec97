//! Checks and prepares the heads of outgoing requests and their responses.

use headwater_core::Body;
use headwater_core::fields::{DeclaredLength, settle_length, strip_hop_by_hop};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TE, TRANSFER_ENCODING};
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;

use crate::EgressError;
use crate::error::said;
use crate::limits::EgressLimits;

/// RFC 9113 (6.5.2) adds this for each field.
const PER_FIELD: usize = 32;

/// Returns an error with the size of the fields if they are larger than `most`.
pub(crate) fn within(fields: &HeaderMap, most: usize) -> Result<(), u32> {
    let sizes = fields
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + PER_FIELD);
    let size: usize = sizes.sum();
    if size > most {
        return Err(u32::try_from(size).unwrap_or(u32::MAX));
    }
    Ok(())
}

/// Prepares a request for sending, and returns its declared length.
pub(crate) fn prepare(
    request: &mut Request<Body>,
    limits: &EgressLimits,
) -> Result<Option<u64>, EgressError> {
    if *request.method() == Method::CONNECT {
        return Err(EgressError::InvalidMethod);
    }
    let actual = request.body().size_hint().exact();
    let declared = match (settle_length(request.headers_mut()), actual) {
        (DeclaredLength::Exactly(declared), Some(actual)) if declared != actual => {
            return Err(EgressError::ContentLength);
        }
        (DeclaredLength::Invalid, _) => return Err(EgressError::ContentLength),
        (DeclaredLength::Exactly(declared), _) => Some(declared),
        (DeclaredLength::None, _) => None,
    };
    let size = declared.or(actual);
    if let (Some(size), Some(most)) = (size, limits.request_body)
        && size > most
    {
        return Err(EgressError::RequestBodySize(size));
    }
    // The connection decides the version; a request with another would fail.
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    // Some servers, such as gRPC's, send trailers only to clients that ask for them.
    let wants_trailers = headers.get(TE).is_some_and(|te| te == "trailers");
    strip_hop_by_hop(headers);
    if wants_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    headers.remove(HOST);
    within(headers, limits.request_head).map_err(EgressError::RequestHeadSize)?;
    Ok(declared)
}

/// Checks that the end of a response is unambiguous. Some intermediary may take one with both
/// `transfer-encoding` and `content-length` for two responses (RFC 9112, 6.3: it "ought to be handled as an
/// error").
pub(crate) fn check_framing<B>(response: &Response<B>) -> Result<(), EgressError> {
    let headers = response.headers();
    if headers.contains_key(TRANSFER_ENCODING) && headers.contains_key(CONTENT_LENGTH) {
        let contradiction = "the response has both transfer-encoding and content-length";
        return Err(EgressError::Protocol(said(contradiction)));
    }
    Ok(())
}

/// Checks that a response's head may be passed on, and prepares it.
pub(crate) fn check<B>(
    response: &mut Response<B>,
    limits: &EgressLimits,
) -> Result<(), EgressError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(EgressError::Upgrade);
    }
    let headers = response.headers_mut();
    // The connection has refused invalid ones already.
    settle_length(headers);
    if let Err(size) = within(headers, limits.response_head) {
        return Err(EgressError::ResponseHeadSize(Some(size)));
    }
    if headers.len() > limits.response_fields {
        return Err(EgressError::ResponseHeadSize(None));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use headwater_core::{empty, full};

    use super::*;

    #[test]
    fn fields_are_sized_as_http_2_does() {
        let mut fields = HeaderMap::new();
        fields.insert("name", HeaderValue::from_static("value"));
        fields.append("name", HeaderValue::from_static(""));
        let size = (4 + 5 + 32) + (4 + 32);
        assert_eq!(within(&fields, size), Ok(()));
        assert_eq!(within(&fields, size - 1), Err(77));
    }

    #[test]
    fn a_body_that_is_known_to_be_too_large_is_not_begun() {
        let limits = EgressLimits {
            request_body: Some(3),
            ..EgressLimits::default()
        };
        let request = |body| Request::post("http://a.example/").body(body).unwrap();
        prepare(&mut request(full("abc")), &limits).unwrap();
        let error = prepare(&mut request(full("abcd")), &limits).unwrap_err();
        assert!(matches!(error, EgressError::RequestBodySize(4)));
    }

    #[test]
    fn a_length_that_is_said_twice_is_passed_on_once() {
        let limits = EgressLimits::default();
        let mut request = Request::post("http://a.example/")
            .header(CONTENT_LENGTH, "3")
            .header(CONTENT_LENGTH, "3")
            .body(full("abc"))
            .unwrap();
        assert_eq!(prepare(&mut request, &limits).unwrap(), Some(3));
        let mut response = Response::builder()
            .header(CONTENT_LENGTH, "3, 3")
            .body(())
            .unwrap();
        check(&mut response, &limits).unwrap();
        for headers in [request.headers(), response.headers()] {
            let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
            assert_eq!(lengths, ["3"]);
        }
    }

    #[test]
    fn who_asks_for_trailers_still_does_and_for_nothing_else() {
        for (te, sent) in [("trailers", Some("trailers")), ("gzip", None)] {
            let request = Request::get("http://a.example/").header(TE, te);
            let mut request = request.body(empty()).unwrap();
            prepare(&mut request, &EgressLimits::default()).unwrap();
            let found = request.headers().get(TE).map(|te| te.to_str().unwrap());
            assert_eq!(found, sent);
        }
    }
}
