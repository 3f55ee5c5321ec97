//! Errors of failed outgoing requests, as `wasi:http` reports them to guests.
//!
//! The cases of `error-code` are the proxy error types of RFC 9209, whose definitions decide which one
//! applies. `docs/reference/error-codes.md` has the table.

use std::error::Error as StdError;
use std::io;

use headwater_core::BodyError;
use headwater_egress::EgressError;
use parking_lot::Mutex;
use wasmtime_wasi_http::Error;

/// The error that a guest's own request body ended with, on its way through the client back to the guest.
#[derive(Debug, thiserror::Error)]
#[error("the request's body was cut by its sender")]
pub(crate) struct CutByGuest(Mutex<Option<Error>>);

impl CutByGuest {
    pub(crate) fn new(error: Error) -> Self {
        Self(Mutex::new(Some(error)))
    }

    fn take(&self) -> Option<Error> {
        self.0.lock().take()
    }
}

/// Returns the guest's error for a failed outgoing request.
pub(crate) fn from_egress(error: &EgressError) -> Error {
    match error {
        EgressError::Denied { .. } => Error::HttpRequestDenied,
        EgressError::LoopDetected => Error::LoopDetected,
        EgressError::AddressDenied { .. } => Error::DestinationIpProhibited,
        EgressError::InvalidUri { .. } => Error::HttpRequestUriInvalid,
        EgressError::InvalidMethod => Error::HttpRequestMethodInvalid,
        EgressError::ContentLength => Error::HttpRequestBodySize(None),
        // The body's own error is the most precise.
        EgressError::RequestBody(cause) => find(&**cause, CutByGuest::take)
            .unwrap_or_else(|| Error::InternalError(Some(error.to_string()))),
        EgressError::Dns { rcode, .. } => Error::DnsError {
            rcode: rcode.map(str::to_owned),
            info_code: None,
        },
        EgressError::DnsTimeout { .. } => Error::DnsTimeout,
        EgressError::ConnectionRefused => Error::ConnectionRefused,
        EgressError::Unreachable(cause) => match find(&**cause, is_unroutable) {
            Some(()) => Error::DestinationIpUnroutable,
            None => Error::DestinationUnavailable,
        },
        EgressError::Proxy { .. } => Error::DestinationUnavailable,
        EgressError::ConnectTimeout | EgressError::TlsHandshakeTimeout => Error::ConnectionTimeout,
        EgressError::TlsCertificate(_) => Error::TlsCertificateError,
        EgressError::TlsAlert { id, .. } => Error::TlsAlertReceived {
            alert_id: Some(*id),
            alert_message: alert_name(*id).map(str::to_owned),
        },
        EgressError::TlsProtocol(_) => Error::TlsProtocolError,
        EgressError::FirstByteTimeout | EgressError::BetweenBytesTimeout => {
            Error::ConnectionReadTimeout
        }
        EgressError::ConnectionTerminated(_) => Error::ConnectionTerminated,
        EgressError::ResponseIncomplete(_) => Error::HttpResponseIncomplete,
        EgressError::WriteTimeout => Error::ConnectionWriteTimeout,
        EgressError::TotalTimeout => Error::HttpResponseTimeout,
        EgressError::Limit(_) => Error::ConnectionLimitReached,
        EgressError::RequestHeadSize(size) => Error::HttpRequestHeaderSectionSize(Some(*size)),
        EgressError::RequestTrailersSize(size) => Error::HttpRequestTrailerSectionSize(Some(*size)),
        EgressError::RequestBodySize(size) => Error::HttpRequestBodySize(Some(*size)),
        EgressError::ResponseHeadSize(size) => Error::HttpResponseHeaderSectionSize(*size),
        EgressError::ResponseTrailersSize(size) => Error::HttpResponseTrailerSectionSize(*size),
        EgressError::TransferCoding(_) => {
            Error::HttpResponseTransferCoding(Some("chunked".to_owned()))
        }
        EgressError::ResponseBodySize(size) => Error::HttpResponseBodySize(Some(*size)),
        EgressError::Upgrade => Error::HttpUpgradeFailed,
        EgressError::InterimResponses | EgressError::Protocol(_) => Error::HttpProtocolError,
        EgressError::NoRoots(_) | EgressError::TlsSettings(_) => Error::ConfigurationError,
        // A kind that this crate does not know yet.
        error => Error::InternalError(Some(error.to_string())),
    }
}

/// Returns the guest's error for an upstream's body that was cut.
pub(crate) fn from_body(error: &BodyError) -> Error {
    match error.downcast_ref::<EgressError>() {
        Some(error) => from_egress(error),
        None => Error::InternalError(Some(error.to_string())),
    }
}

/// Returns the first cause of this type, from the outside in.
fn find<E: StdError + 'static, T>(
    error: &(dyn StdError + 'static),
    ask: impl Fn(&E) -> Option<T>,
) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(said) = error.downcast_ref().and_then(&ask) {
            return Some(said);
        }
        next = error.source();
    }
    None
}

/// Returns `Some` if there is no route to the address.
fn is_unroutable(error: &io::Error) -> Option<()> {
    matches!(
        error.kind(),
        io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
    )
    .then_some(())
}

/// Returns the name of a TLS alert in IANA's registry, for the alerts of TLS 1.2 and 1.3.
fn alert_name(id: u8) -> Option<&'static str> {
    Some(match id {
        0 => "close_notify",
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_denial_reaches_the_guest_as_a_denial() {
        let error = EgressError::Denied {
            destination: "http://127.0.0.1:1".into(),
            remedy: "allow it".into(),
        };
        assert!(matches!(from_egress(&error), Error::HttpRequestDenied));
    }

    #[test]
    fn a_denied_address_is_told_from_a_denied_name() {
        let error = EgressError::AddressDenied {
            destination: "http://a.example:80".into(),
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            range: "loopback (127.0.0.0/8)".into(),
            remedy: "http://127.0.0.1:80".into(),
        };
        let told = from_egress(&error);
        assert!(matches!(told, Error::DestinationIpProhibited), "{told:?}");
    }

    #[test]
    fn a_cut_upstream_body_keeps_its_kind() {
        let error = BodyError::from(EgressError::BetweenBytesTimeout);
        assert!(matches!(from_body(&error), Error::ConnectionReadTimeout));
    }

    #[test]
    fn what_a_guests_own_body_ended_with_comes_back_to_it() {
        let cut = CutByGuest::new(Error::HttpRequestBodySize(Some(3)));
        let error = EgressError::RequestBody(Arc::new(cut));
        let told = from_egress(&error);
        assert!(matches!(told, Error::HttpRequestBodySize(Some(3))));
        // Later callers only learn that it was the body.
        assert!(matches!(from_egress(&error), Error::InternalError(Some(_))));
    }

    #[test]
    fn no_way_to_an_address_is_told_from_other_failures_to_connect() {
        for (kind, unroutable) in [
            (io::ErrorKind::HostUnreachable, true),
            (io::ErrorKind::NetworkUnreachable, true),
            (io::ErrorKind::AddrNotAvailable, true),
            (io::ErrorKind::PermissionDenied, false),
        ] {
            let error = EgressError::Unreachable(Arc::new(io::Error::from(kind)));
            let told = from_egress(&error);
            match unroutable {
                true => assert!(matches!(told, Error::DestinationIpUnroutable)),
                false => assert!(matches!(told, Error::DestinationUnavailable)),
            }
        }
    }

    #[test]
    fn an_alert_has_its_name() {
        let error = EgressError::TlsAlert {
            id: 40,
            source: Arc::new(io::Error::other("handshake failure")),
        };
        let told = from_egress(&error);
        assert!(matches!(
            told,
            Error::TlsAlertReceived { alert_id: Some(40), alert_message: Some(name) }
                if name == "handshake_failure"
        ));
    }
}
