//! Errors of the next handler, as a middleware sees them.

use std::fmt;

use headwater_core::{Blame, Fault};
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;

/// The error that a guest of 0.3 returned in place of a response, on its way to the middleware that called it.
#[derive(Debug)]
pub(crate) struct ReturnedCode(pub(crate) ErrorCode);

impl fmt::Display for ReturnedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for ReturnedCode {}

/// Returns the error code for a fault of the next handler: the guest's own if it returned one.
pub(super) fn code_of(fault: &Fault) -> ErrorCode {
    if let Some(ReturnedCode(code)) = fault.source_as() {
        return code.clone();
    }
    if fault.is_deadline() {
        return ErrorCode::HttpResponseTimeout;
    }
    match fault.blame() {
        Blame::Overload => ErrorCode::ConnectionLimitReached,
        // Like the answer to a client: no more than it may know.
        _ => ErrorCode::InternalError(Some(fault.summary().to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_middleware_gets_the_code_that_the_service_returned() {
        let fault = Fault::error_code(ReturnedCode(ErrorCode::HttpRequestDenied));
        assert!(matches!(code_of(&fault), ErrorCode::HttpRequestDenied));
        assert_eq!(
            fault.cause().as_deref(),
            Some("ErrorCode::HttpRequestDenied")
        );
    }

    #[test]
    fn other_faults_have_the_nearest_code() {
        let full = Fault::overload("queue_full", Duration::from_secs(1));
        assert!(matches!(code_of(&full), ErrorCode::ConnectionLimitReached));
        let late = code_of(&Fault::deadline());
        assert!(matches!(late, ErrorCode::HttpResponseTimeout));
        let trap = code_of(&Fault::trap().caused_by("wasm trap: secret"));
        assert!(
            matches!(trap, ErrorCode::InternalError(Some(text)) if text == "the service failed")
        );
    }
}
