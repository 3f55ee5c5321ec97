//! Methods that are refused.

use headwater_core::Fault;
use http::header::{ALLOW, HeaderValue};
use http::{Method, StatusCode};

/// The methods of RFC 9110 and RFC 5789 that the front lets through, for the `Allow` field of its answers.
/// (It lets other methods through, too.)
pub(crate) const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Refuses CONNECT, which asks for a tunnel, and TRACE: a service that echoes the request shows scripts
/// credentials that they cannot read otherwise, and clients the fields that proxies have added.
pub(crate) fn check(method: &Method) -> Result<(), Fault> {
    let (kind, summary) = match *method {
        Method::CONNECT => ("connect", "this server does not open tunnels"),
        Method::TRACE => ("trace", "this server does not echo requests"),
        _ => return Ok(()),
    };
    // A 405 must have the `Allow` field (RFC 9110 15.5.6).
    let fault = Fault::client(StatusCode::METHOD_NOT_ALLOWED, kind, summary);
    Err(fault.with_field(ALLOW, HeaderValue::from_static(ALLOWED)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_and_echoes_are_refused_and_nothing_else_is() {
        for method in [Method::CONNECT, Method::TRACE] {
            let fault = check(&method).unwrap_err();
            assert_eq!(fault.status(), StatusCode::METHOD_NOT_ALLOWED);
        }
        let allowed = ALLOWED.split(", ");
        for method in allowed.chain(["PROPFIND", "trace"]) {
            assert!(check(&method.parse().unwrap()).is_ok(), "{method}");
        }
    }
}
