//! What may go wrong with an outgoing request, in the terms of `wasi:http`'s `error-code`.

use std::error::Error;
use std::io;
use std::sync::Arc;

use rustls::Error as TlsError;

/// A cause, shared because errors of one connection may be seen by several requests.
type Cause = Arc<dyn Error + Send + Sync>;

/// Why an outgoing request got no whole answer.
///
/// Each variant names the `error-code` that a guest is to see for it.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// `HTTP-request-denied`: no grant of the service covers the destination.
    #[error(
        "outgoing requests to {destination} are not granted to this service: allow them with --allow-outgoing {destination}"
    )]
    Denied {
        /// Scheme, host and port.
        destination: String,
    },
    /// `internal-error`: a service of the same host cannot be reached in this way.
    #[error("the service {host} of this host cannot be called so: {reason}")]
    Internal {
        /// The host of the URI.
        host: String,
        /// What is wrong, and what to write.
        reason: &'static str,
    },
    /// `loop-detected`: the request, or one that it is made for, has come to this host too often.
    #[error("the outgoing request goes round in circles")]
    LoopDetected,
    /// `HTTP-request-URI-invalid`.
    #[error("the outgoing request's URI is invalid: {reason}")]
    InvalidUri {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// `HTTP-request-method-invalid`: CONNECT, which asks for a tunnel.
    #[error("the outgoing request's method is CONNECT, and tunnels are not supported")]
    InvalidMethod,
    /// `HTTP-request-body-size`: the request's `content-length` is not its body's.
    #[error("the outgoing request's content-length is not its body's")]
    ContentLength,
    /// `internal-error`: the guest's own request body ended with an error.
    #[error("the outgoing request's body was cut by its sender")]
    RequestBody(#[source] Cause),
    /// `DNS-error`: the name could not be resolved.
    #[error("the name {host} could not be resolved")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver says.
        #[source]
        source: Cause,
    },
    /// `connection-refused`.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// `destination-unavailable`: no route to the host or the network, or another failure to connect.
    #[error("the destination cannot be reached")]
    Unreachable(#[source] Cause),
    /// `connection-timeout`: resolution, connection and handshake took too long together.
    #[error("the connection was not made in time")]
    ConnectTimeout,
    /// `TLS-certificate-error`.
    #[error("the upstream's certificate is not valid")]
    TlsCertificate(#[source] Cause),
    /// `TLS-alert-received`.
    #[error("the upstream ended TLS with alert {id}")]
    TlsAlert {
        /// The alert's number (RFC 8446, 6).
        id: u8,
        /// What TLS says.
        #[source]
        source: Cause,
    },
    /// `TLS-protocol-error`.
    #[error("TLS could not be agreed on")]
    TlsProtocol(#[source] Cause),
    /// `connection-read-timeout`: no response head in time.
    #[error("the response did not begin in time")]
    FirstByteTimeout,
    /// `connection-read-timeout`: the response stopped in its middle.
    #[error("the response did not go on in time")]
    BetweenBytesTimeout,
    /// `connection-terminated`: the connection ended before the response's head.
    #[error("the connection ended before the response began")]
    ConnectionTerminated(#[source] Cause),
    /// `HTTP-response-incomplete`: the connection ended within the response's body.
    #[error("the response ended before its end")]
    ResponseIncomplete(#[source] Cause),
    /// `HTTP-response-header-section-size`.
    #[error("the response's head is too large")]
    ResponseHeadSize(#[source] Cause),
    /// `HTTP-upgrade-failed`: the upstream changed protocols, which nobody asked for.
    #[error("the upstream switched protocols unasked")]
    Upgrade,
    /// `HTTP-protocol-error`.
    #[error("the upstream does not keep to HTTP")]
    Protocol(#[source] Cause),
    /// `configuration-error`: the host cannot do TLS.
    #[error("no root certificates can be had: install the system's (the package ca-certificates)")]
    NoRoots(#[source] Cause),
}

/// How far an outgoing request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Until the response's head.
    Head,
    /// Within the response's body.
    Body,
}

// === impl EgressError ===

impl EgressError {
    /// A short stable label, for the attribute `error.type`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Denied { .. } => "denied",
            Self::Internal { .. } => "internal",
            Self::LoopDetected => "loop_detected",
            Self::InvalidUri { .. } => "invalid_uri",
            Self::InvalidMethod => "invalid_method",
            Self::ContentLength => "content_length",
            Self::RequestBody(_) => "request_body",
            Self::Dns { .. } => "dns",
            Self::ConnectionRefused => "connection_refused",
            Self::Unreachable(_) => "unreachable",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsCertificate(_) => "tls_certificate",
            Self::TlsAlert { .. } => "tls_alert",
            Self::TlsProtocol(_) => "tls_protocol",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::BetweenBytesTimeout => "between_bytes_timeout",
            Self::ConnectionTerminated(_) => "connection_terminated",
            Self::ResponseIncomplete(_) => "response_incomplete",
            Self::ResponseHeadSize(_) => "response_head_size",
            Self::Upgrade => "upgrade",
            Self::Protocol(_) => "protocol",
            Self::NoRoots(_) => "no_roots",
        }
    }

    /// Reads what hyper, hyper-util, rustls and the system have to say, from the outside in: the
    /// first cause that has a name of its own decides.
    pub(crate) fn classify(error: impl Error + Send + Sync + 'static, phase: Phase) -> Self {
        let connecting = (&error as &dyn Error)
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        let cause: Cause = Arc::new(error);
        let mut next: Option<&(dyn Error + 'static)> = Some(&*cause);
        while let Some(error) = next {
            if let Some(named) = Self::named(error, &cause, connecting, phase) {
                return named;
            }
            next = inner(error);
        }
        if connecting {
            return Self::Unreachable(cause);
        }
        Self::Protocol(cause)
    }

    fn named(
        error: &(dyn Error + 'static),
        cause: &Cause,
        connecting: bool,
        phase: Phase,
    ) -> Option<Self> {
        let ended = |cause| match phase {
            Phase::Head => Self::ConnectionTerminated(cause),
            Phase::Body => Self::ResponseIncomplete(cause),
        };
        if let Some(error) = error.downcast_ref::<Self>() {
            return Some(error.clone());
        }
        if let Some(error) = error.downcast_ref::<TlsError>() {
            return Some(match error {
                TlsError::InvalidCertificate(_) | TlsError::NoCertificatesPresented => {
                    Self::TlsCertificate(Arc::clone(cause))
                }
                TlsError::AlertReceived(alert) => Self::TlsAlert {
                    id: u8::from(*alert),
                    source: Arc::clone(cause),
                },
                _ => Self::TlsProtocol(Arc::clone(cause)),
            });
        }
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse_too_large() {
                return Some(Self::ResponseHeadSize(Arc::clone(cause)));
            }
            if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
                return Some(ended(Arc::clone(cause)));
            }
            if error.is_user() {
                return Some(Self::RequestBody(Arc::clone(cause)));
            }
        }
        let error = error.downcast_ref::<io::Error>()?;
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Some(Self::ConnectionRefused),
            io::ErrorKind::TimedOut if connecting => Some(Self::ConnectTimeout),
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable => Some(Self::Unreachable(Arc::clone(cause))),
            io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
            | io::ErrorKind::TimedOut
            | io::ErrorKind::UnexpectedEof => Some(ended(Arc::clone(cause))),
            _ => None,
        }
    }
}

/// The next cause. An [`io::Error`] made of another error names that one's source as its own, and
/// not the error itself; TLS errors arrive two such layers deep.
fn inner<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_found_through_layers_of_io_errors() {
        let tls = TlsError::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let error = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        let error = EgressError::classify(error, Phase::Head);
        assert!(matches!(error, EgressError::TlsCertificate(_)), "{error:?}");

        let alert = TlsError::AlertReceived(rustls::AlertDescription::HandshakeFailure);
        let error = EgressError::classify(io::Error::other(alert), Phase::Head);
        assert!(
            matches!(error, EgressError::TlsAlert { id: 40, .. }),
            "{error:?}"
        );
    }

    #[test]
    fn an_end_is_named_after_what_it_cut() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let head = EgressError::classify(reset(), Phase::Head);
        assert!(matches!(head, EgressError::ConnectionTerminated(_)));
        let body = EgressError::classify(reset(), Phase::Body);
        assert!(matches!(body, EgressError::ResponseIncomplete(_)));
    }
}
