//! The answers of WAGI 0.8.1 when a module fails.

use headwater_core::{Body, Fault, RequestScope, full};
use http::{Response, StatusCode};

/// The fault's summary for output that is not a response.
pub(crate) const INSUFFICIENT: &str =
    "the module's output has no content-type, status or location header";

/// WAGI's body for that fault.
const WAGI_INSUFFICIENT: &str = "Exactly one of 'location' or 'content-type' must be specified";

/// Returns a module's failure as WAGI answered it: a 500 without content-type, and without a body
/// except for output that is not a response. Returns the fault itself if the module did not cause
/// it, such as overload: WAGI had no such faults.
pub(crate) fn answer(fault: Fault, scope: &RequestScope) -> Result<Response<Body>, Fault> {
    if !matches!(fault.kind(), "trap" | "bad_response") {
        return Err(fault);
    }
    // The server logs faults, but does not see this one.
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
