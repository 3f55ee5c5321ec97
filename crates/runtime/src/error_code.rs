use headwater_core::BodyError;
use headwater_egress::EgressError;
use wasmtime_wasi_http::Error;

/// What a guest is told of an outgoing request that failed, in the terms of `wasi:http`.
pub(crate) fn from_egress(error: &EgressError) -> Error {
    match error {
        EgressError::Denied { .. } => Error::HttpRequestDenied,
        EgressError::LoopDetected => Error::LoopDetected,
        EgressError::InvalidUri { .. } => Error::HttpRequestUriInvalid,
        EgressError::InvalidMethod => Error::HttpRequestMethodInvalid,
        EgressError::ContentLength => Error::HttpRequestBodySize(None),
        EgressError::Dns { .. } => Error::DnsError {
            rcode: None,
            info_code: None,
        },
        EgressError::ConnectionRefused => Error::ConnectionRefused,
        EgressError::Unreachable(_) => Error::DestinationUnavailable,
        EgressError::ConnectTimeout => Error::ConnectionTimeout,
        EgressError::TlsCertificate(_) => Error::TlsCertificateError,
        EgressError::TlsAlert { id, .. } => Error::TlsAlertReceived {
            alert_id: Some(*id),
            alert_message: None,
        },
        EgressError::TlsProtocol(_) => Error::TlsProtocolError,
        EgressError::FirstByteTimeout | EgressError::BetweenBytesTimeout => {
            Error::ConnectionReadTimeout
        }
        EgressError::ConnectionTerminated(_) => Error::ConnectionTerminated,
        EgressError::ResponseIncomplete(_) => Error::HttpResponseIncomplete,
        EgressError::ResponseHeadSize(_) => Error::HttpResponseHeaderSectionSize(None),
        EgressError::Upgrade => Error::HttpUpgradeFailed,
        EgressError::Protocol(_) => Error::HttpProtocolError,
        EgressError::NoRoots(_) => Error::ConfigurationError,
        // Of the guest's own making, or of a kind that this crate does not know yet.
        error => Error::InternalError(Some(error.to_string())),
    }
}

/// What a guest is told of an upstream's body that was cut.
pub(crate) fn from_body(error: &BodyError) -> Error {
    match error.downcast_ref::<EgressError>() {
        Some(error) => from_egress(error),
        None => Error::InternalError(Some(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_reaches_the_guest_as_a_denial() {
        let error = EgressError::Denied {
            destination: "http://127.0.0.1:1".into(),
        };
        assert!(matches!(from_egress(&error), Error::HttpRequestDenied));
    }

    #[test]
    fn a_cut_upstream_body_keeps_its_kind() {
        let error = BodyError::from(EgressError::BetweenBytesTimeout);
        assert!(matches!(from_body(&error), Error::ConnectionReadTimeout));
    }
}
