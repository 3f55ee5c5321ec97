//! Checks the response of a middleware before anything of it goes on.

use headwater_core::fields::{DeclaredLength, settle_length, strip_hop_by_hop};
use headwater_core::{Body, Fault};
use http::{Method, Response};
use http_body::Body as _;

use crate::link_body::is_bodiless;

/// The most header fields that a middleware's response may have. Clients accept about a hundred; a response
/// with more than this was not meant.
const MAX_FIELDS: usize = 1_000;

/// Refuses a response that no client could read, or whose body is known to differ from what its head says.
pub(crate) fn check(
    mut response: Response<Body>,
    method: &Method,
) -> Result<Response<Body>, Fault> {
    strip_hop_by_hop(response.headers_mut());
    if response.status().is_informational() {
        return Err(Fault::bad_response(
            "the service sent an interim status as its answer",
        ));
    }
    let fields = response.headers().len();
    if fields > MAX_FIELDS {
        return Err(
            Fault::bad_response("the service sent too many header fields").caused_by(format!(
                "{fields} header fields; a middleware may send {MAX_FIELDS}"
            )),
        );
    }
    let has_body = !is_bodiless(method, response.status());
    match settle_length(response.headers_mut()) {
        DeclaredLength::Invalid => Err(Fault::bad_response(
            "the service sent an invalid content-length",
        )),
        DeclaredLength::Exactly(length) if has_body => match response.body().size_hint().exact() {
            Some(actual) if actual != length => Err(Fault::bad_response(
                "the service sent a content-length that does not match its body",
            )
            .caused_by(format!("content-length {length}, body of {actual} bytes"))),
            _ => Ok(response),
        },
        DeclaredLength::Exactly(_) | DeclaredLength::None => Ok(response),
    }
}
