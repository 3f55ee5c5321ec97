//! The answers of WAGI 0.8.1 to a module that fails.

use headwater_core::{Body, Fault, RequestScope, full};
use http::{Response, StatusCode};

/// What is said of output that makes no response.
pub(crate) const INSUFFICIENT: &str =
    "the module's output has no content-type, status or location header";

/// WAGI's body for it.
const WAGI_INSUFFICIENT: &str = "Exactly one of 'location' or 'content-type' must be specified";

/// A module's failure as WAGI answered it: a 500 without content-type, and without a body but for output
/// that makes no response. What is not the module's own, such as overload, WAGI did not have.
///
/// # Errors
///
/// What WAGI did not have.
pub(crate) fn answer(fault: Fault, scope: &RequestScope) -> Result<Response<Body>, Fault> {
    if !matches!(fault.kind(), "trap" | "bad_response") {
        return Err(fault);
    }
    // The front logs faults, and this is none for it.
    tracing::error!(
        parent: None,
        request_id = %scope.id(),
        service = &**scope.service(),
        route = &**scope.route(),
        blame = fault.blame().as_str(),
        kind = fault.kind(),
        status = fault.status().as_u16(),
        cause = fault.cause(),
        "{}",
        fault.summary(),
    );
    let body = match fault.summary() {
        INSUFFICIENT => WAGI_INSUFFICIENT,
        _ => "",
    };
    let mut response = Response::new(full(body));
    *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    Ok(response)
}
