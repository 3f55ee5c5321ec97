//! Errors of outgoing requests, by `wasi:http`'s `error-code`.

use std::error::Error;
use std::io;
use std::iter::successors;
use std::net::IpAddr;
use std::sync::Arc;

use rustls::Error as TlsError;

use crate::Limit;
use crate::internal::NoSuchService;
use crate::limits::MOST_INTERIM;

/// A cause, shared because errors of one connection may be seen by several requests.
type Cause = Arc<dyn Error + Send + Sync>;

/// The reason why an outgoing request got no complete answer.
///
/// The comment of each variant names the `error-code` that a guest sees.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// `HTTP-request-denied`: no grant of the service covers the destination.
    #[error("outgoing requests to {destination} are not granted to this service: {remedy}")]
    Denied {
        /// Scheme, host and port.
        destination: String,
        /// The grant to write, or why none would help.
        remedy: String,
    },
    /// `destination-IP-prohibited`: the destination resolves to a special address, which was not granted as
    /// an address.
    #[error(
        "outgoing requests to {destination} are denied: its address {address} is {range}, which a \
         grant of a name or of * does not cover; if you want this, also allow the address: write \
         {remedy} (or its network, such as 10.0.0.0/8)"
    )]
    AddressDenied {
        /// Scheme, host and port.
        destination: String,
        /// The first address that it resolved to.
        address: IpAddr,
        /// The special range.
        range: String,
        /// The grant to write.
        remedy: String,
    },
    /// `internal-error`: the URI cannot reach a service of the same host.
    #[error(
        "the service {host} of this host cannot be called like this: {reason}: write http://{host}"
    )]
    Internal {
        /// Scheme, host and port.
        destination: String,
        /// The host of the URI.
        host: String,
        /// The cause.
        reason: &'static str,
    },
    /// `loop-detected`: the request, or one that it is made for, has come to this host too often.
    #[error("the outgoing request is in a loop")]
    LoopDetected,
    /// `HTTP-request-URI-invalid`.
    #[error("the outgoing request's URI is invalid: {reason}")]
    InvalidUri {
        /// The problem.
        reason: &'static str,
    },
    /// `HTTP-request-method-invalid`: CONNECT, which asks for a tunnel.
    #[error("the outgoing request's method is CONNECT, and tunnels are not supported")]
    InvalidMethod,
    /// `HTTP-request-body-size`: the request's `content-length` does not match its body.
    #[error("the outgoing request's content-length does not match its body")]
    ContentLength,
    /// `internal-error`: the guest's own request body ended with an error.
    #[error("the outgoing request's body was cut by its sender")]
    RequestBody(#[source] Cause),
    /// `DNS-error`: the name could not be resolved.
    #[error("the name {host} could not be resolved")]
    Dns {
        /// The name.
        host: String,
        /// DNS's code, if there is one: `NXDOMAIN` or `SERVFAIL`.
        rcode: Option<&'static str>,
        /// The resolver's error.
        #[source]
        source: Cause,
    },
    /// `DNS-timeout`.
    #[error("the name {host} was not resolved in time")]
    DnsTimeout {
        /// The name.
        host: String,
    },
    /// `connection-refused`.
    #[error("the connection was refused")]
    ConnectionRefused,
    /// `destination-unavailable`: no route to the host or the network, or another failure to connect.
    #[error("the destination cannot be reached")]
    Unreachable(#[source] Cause),
    /// `connection-timeout`: the connection was not made in time.
    #[error("the connection was not made in time")]
    ConnectTimeout,
    /// `connection-timeout`: the TLS handshake took too long.
    #[error("the TLS handshake did not end in time")]
    TlsHandshakeTimeout,
    /// `destination-unavailable`: the proxy refuses the connection.
    #[error("the proxy {proxy} refused the connection to the upstream")]
    Proxy {
        /// The proxy, without its password.
        proxy: String,
        /// The cause.
        #[source]
        source: Cause,
    },
    /// `TLS-certificate-error`.
    #[error("the upstream's certificate is not valid")]
    TlsCertificate(#[source] Cause),
    /// `TLS-alert-received`.
    #[error("the upstream ended TLS with alert {id}")]
    TlsAlert {
        /// The alert's number (RFC 8446, 6).
        id: u8,
        /// The error of the TLS library.
        #[source]
        source: Cause,
    },
    /// `TLS-protocol-error`.
    #[error("the TLS handshake failed")]
    TlsProtocol(#[source] Cause),
    /// `connection-read-timeout`: no response head in time.
    #[error("the response did not begin in time")]
    FirstByteTimeout,
    /// `connection-read-timeout`: the response stopped in its middle.
    #[error("the response did not continue in time")]
    BetweenBytesTimeout,
    /// `connection-terminated`: the connection ended before the response's head.
    #[error("the connection ended before the response began")]
    ConnectionTerminated(#[source] Cause),
    /// `HTTP-response-incomplete`: the connection ended within the response's body.
    #[error("the response ended too early")]
    ResponseIncomplete(#[source] Cause),
    /// `connection-write-timeout`: the request's body stopped in its middle. For too long the guest sent no
    /// part of it, or the upstream read none.
    #[error("the request did not continue in time")]
    WriteTimeout,
    /// `HTTP-response-timeout`: the whole exchange took too long.
    #[error("the response was not complete in time")]
    TotalTimeout,
    /// `connection-limit-reached`: a limit on outgoing requests or connections was reached.
    #[error("{0}")]
    Limit(Limit),
    /// `HTTP-request-header-section-size`, with the size.
    #[error(
        "the outgoing request's header fields have {0} bytes, more than `outgoing.max_request_head`"
    )]
    RequestHeadSize(u32),
    /// `HTTP-request-trailer-section-size`, with the size.
    #[error(
        "the outgoing request's trailers have {0} bytes, more than `outgoing.max_request_head`"
    )]
    RequestTrailersSize(u32),
    /// `HTTP-request-body-size`, with the declared size or the bytes sent so far.
    #[error(
        "the outgoing request's body has at least {0} bytes, more than `outgoing.max_request_body`"
    )]
    RequestBodySize(u64),
    /// `HTTP-response-header-section-size`, with the size if it is known.
    #[error(
        "the response's head is larger than `outgoing.max_response_head`, or has more fields than \
         `outgoing.max_response_fields`"
    )]
    ResponseHeadSize(Option<u32>),
    /// `HTTP-response-trailer-section-size`, with the size if it is known.
    #[error("the response's trailers are larger than `outgoing.max_response_head`")]
    ResponseTrailersSize(Option<u32>),
    /// `HTTP-response-body-size`, with the declared size or the bytes received so far.
    #[error("the response's body has at least {0} bytes, more than `outgoing.max_response_body`")]
    ResponseBodySize(u64),
    /// `HTTP-response-transfer-coding`: the chunks of the response's body are malformed.
    #[error("the chunks of the response's body are malformed")]
    TransferCoding(#[source] Cause),
    /// `HTTP-upgrade-failed`: the upstream changed protocols without being asked.
    #[error("the upstream switched protocols without being asked")]
    Upgrade,
    /// `HTTP-protocol-error`: too many interim responses (1xx).
    #[error(
        "the upstream sent more than {MOST_INTERIM} interim responses (1xx) before its response"
    )]
    InterimResponses,
    /// `HTTP-protocol-error`.
    #[error("the upstream violated HTTP")]
    Protocol(#[source] Cause),
    /// `configuration-error`: the host has no root certificates.
    #[error("no root certificates were found: install the system's (the package ca-certificates)")]
    NoRoots(#[source] Cause),
    /// `configuration-error`: the certificates of the service's settings cannot be used.
    #[error("the certificates for outgoing requests cannot be used")]
    TlsSettings(#[source] Cause),
}

/// The beginning of hyper's message about trailers beyond a limit: it has no type. A test notices changes.
const TRAILERS: &str = "chunk trailers";

/// The phase of an outgoing request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Handshake,
    /// Until the response's head.
    Head,
    Body,
}

/// Makes [`EgressError::kind`], and for a test the list of all kinds.
macro_rules! kinds {
    ($($error:pat => $kind:literal,)+) => {
        /// A short stable label, for the attribute `error.type`.
        #[must_use]
        pub fn kind(&self) -> &'static str {
            match self {
                Self::Limit(limit) => limit.as_str(),
                $($error => $kind,)+
            }
        }

        #[cfg(test)]
        const KINDS: &[&str] = &[$($kind),+];
    };
}

// === impl EgressError ===

impl EgressError {
    kinds! {
        Self::Denied { .. } => "denied",
        Self::AddressDenied { .. } => "address_denied",
        Self::Internal { .. } => "internal",
        Self::LoopDetected => "loop_detected",
        Self::InvalidUri { .. } => "invalid_uri",
        Self::InvalidMethod => "invalid_method",
        Self::ContentLength => "content_length",
        Self::RequestBody(_) => "request_body",
        Self::Dns { .. } => "dns",
        Self::DnsTimeout { .. } => "dns_timeout",
        Self::ConnectionRefused => "connection_refused",
        Self::Unreachable(_) => "unreachable",
        Self::ConnectTimeout => "connect_timeout",
        Self::TlsHandshakeTimeout => "tls_handshake_timeout",
        Self::Proxy { .. } => "proxy",
        Self::TlsCertificate(_) => "tls_certificate",
        Self::TlsAlert { .. } => "tls_alert",
        Self::TlsProtocol(_) => "tls_protocol",
        Self::FirstByteTimeout => "first_byte_timeout",
        Self::BetweenBytesTimeout => "between_bytes_timeout",
        Self::ConnectionTerminated(_) => "connection_terminated",
        Self::ResponseIncomplete(_) => "response_incomplete",
        Self::WriteTimeout => "write_timeout",
        Self::TotalTimeout => "total_timeout",
        Self::RequestHeadSize(_) => "request_head_size",
        Self::RequestTrailersSize(_) => "request_trailers_size",
        Self::RequestBodySize(_) => "request_body_size",
        Self::ResponseHeadSize(_) => "response_head_size",
        Self::ResponseTrailersSize(_) => "response_trailers_size",
        Self::ResponseBodySize(_) => "response_body_size",
        Self::TransferCoding(_) => "transfer_coding",
        Self::Upgrade => "upgrade",
        Self::InterimResponses => "interim_responses",
        Self::Protocol(_) => "protocol",
        Self::NoRoots(_) => "no_roots",
        Self::TlsSettings(_) => "tls_settings",
    }

    /// Returns true if the policy denied the request, or its URI cannot reach a service of this host.
    pub(crate) fn is_denial(&self) -> bool {
        match self {
            Self::Denied { .. } | Self::AddressDenied { .. } | Self::Internal { .. } => true,
            Self::Dns { source, .. } => source.is::<NoSuchService>(),
            _ => false,
        }
    }

    /// Classifies an error of hyper, rustls or the system: the outermost cause with its own variant decides.
    pub(crate) fn classify(error: impl Into<Box<dyn Error + Send + Sync>>, phase: Phase) -> Self {
        let cause: Cause = Arc::from(error.into());
        let connecting = cause
            .downcast_ref::<hyper_util::client::legacy::Error>()
            .is_some_and(hyper_util::client::legacy::Error::is_connect);
        let named = causes(&cause).find_map(|it| Self::named(it, &cause, connecting, phase));
        if let Some(named) = named {
            return named;
        }
        if connecting {
            return Self::Unreachable(cause);
        }
        match phase {
            Phase::Handshake => Self::TlsProtocol(cause),
            Phase::Head | Phase::Body => Self::Protocol(cause),
        }
    }

    /// Classifies the failure to connect to any address.
    pub(crate) fn of_dialling(error: impl Error + Send + Sync + 'static) -> Self {
        let cause: Cause = Arc::new(error);
        let known =
            causes(&cause).find_map(|error| match error.downcast_ref::<io::Error>()?.kind() {
                io::ErrorKind::ConnectionRefused => Some(Self::ConnectionRefused),
                io::ErrorKind::TimedOut => Some(Self::ConnectTimeout),
                _ => None,
            });
        known.unwrap_or(Self::Unreachable(cause))
    }

    fn named(
        error: &(dyn Error + 'static),
        cause: &Cause,
        connecting: bool,
        phase: Phase,
    ) -> Option<Self> {
        let ended = |cause| match phase {
            Phase::Handshake | Phase::Head => Self::ConnectionTerminated(cause),
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
                return Some(Self::ResponseHeadSize(None));
            }
            if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
                return Some(ended(Arc::clone(cause)));
            }
            if error.is_user() {
                return Some(Self::RequestBody(Arc::clone(cause)));
            }
        }
        let h2 = error.downcast_ref::<h2::Error>();
        if let Some(error) = h2
            && error.is_remote()
            && (error.is_reset() || error.is_go_away())
        {
            // The upstream reset the stream or the connection, for any reason.
            return Some(ended(Arc::clone(cause)));
        }
        // HTTP/2's errors do not return the system's error as their source.
        let error = h2
            .and_then(h2::Error::get_io)
            .or_else(|| error.downcast_ref())?;
        match error.kind() {
            // hyper's error for malformed chunks and their trailers.
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
                if phase == Phase::Body && h2.is_none() =>
            {
                Some(match error.to_string().starts_with(TRAILERS) {
                    true => Self::ResponseTrailersSize(None),
                    false => Self::TransferCoding(Arc::clone(cause)),
                })
            }
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

pub(crate) fn said(text: &str) -> Cause {
    Box::<dyn Error + Send + Sync>::from(text).into()
}

/// Returns the causes, from the outside in.
fn causes(cause: &Cause) -> impl Iterator<Item = &(dyn Error + 'static)> {
    let outermost: &(dyn Error + 'static) = &**cause;
    successors(Some(outermost), |error| inner(*error))
}

/// Returns the next cause. The source of an [`io::Error`] that wraps another error is that one's source, not
/// the error itself; TLS errors have two such layers.
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
    use std::collections::BTreeSet;

    use super::*;

    /// Promise: `docs/reference/error-codes.md` has all values of `error.type`, each beside its variant.
    #[test]
    fn the_documentation_lists_each_kind_of_error_and_no_other() {
        let rows = include_str!("../../../docs/reference/error-codes.md").lines();
        let mut listed = BTreeSet::new();
        for row in rows.filter(|row| row.starts_with("| ")) {
            let cells: Vec<_> = row.trim_matches('|').split(" | ").collect();
            let [_, _, _, variants, kinds] = cells[..] else {
                continue;
            };
            let words = |cell: &'static str| cell.split('`').skip(1).step_by(2);
            let kinds: Vec<_> = words(kinds).collect();
            let variants: Vec<_> = words(variants).map(snake_case).collect();
            assert!(
                kinds == variants || variants == ["limit"] || kinds == ["error.type"],
                "{variants:?} are {kinds:?}"
            );
            listed.extend(kinds.into_iter().filter(|kind| *kind != "error.type"));
        }
        let limits = Limit::ALL.map(Limit::as_str);
        let kinds: BTreeSet<_> = EgressError::KINDS.iter().copied().chain(limits).collect();
        assert_eq!(listed, kinds);
        let metrics = include_str!("../../../docs/reference/metrics.md");
        assert!(
            limits
                .iter()
                .all(|limit| metrics.contains(&format!("`{limit}`")))
        );
    }

    fn snake_case(name: &str) -> String {
        let mut text = String::new();
        for letter in name.chars() {
            if letter.is_ascii_uppercase() && !text.is_empty() {
                text.push('_');
            }
            text.push(letter.to_ascii_lowercase());
        }
        text
    }

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
    fn what_no_connection_could_be_made_for_is_told_apart() {
        let of = |kind| EgressError::of_dialling(io::Error::other(io::Error::from(kind))).kind();
        assert_eq!(of(io::ErrorKind::ConnectionRefused), "connection_refused");
        assert_eq!(of(io::ErrorKind::TimedOut), "connect_timeout");
        assert_eq!(of(io::ErrorKind::HostUnreachable), "unreachable");
        assert_eq!(of(io::ErrorKind::PermissionDenied), "unreachable");
    }

    #[test]
    fn bytes_that_are_no_chunks_are_told_from_a_response_that_ended() {
        let of = |kind, said: &str| {
            let error = io::Error::new(kind, said.to_owned());
            EgressError::classify(error, Phase::Body).kind()
        };
        let chunks = of(io::ErrorKind::InvalidInput, "Invalid chunk size");
        assert_eq!(chunks, "transfer_coding");
        let trailers = of(
            io::ErrorKind::InvalidData,
            "chunk trailers bytes over limit",
        );
        assert_eq!(trailers, "response_trailers_size");
        let end = of(io::ErrorKind::UnexpectedEof, "end of file");
        assert_eq!(end, "response_incomplete");
    }

    #[test]
    fn an_end_is_named_after_what_it_cut() {
        let reset = || io::Error::from(io::ErrorKind::ConnectionReset);
        let head = EgressError::classify(reset(), Phase::Head);
        assert!(matches!(head, EgressError::ConnectionTerminated(_)));
        let handshake = EgressError::classify(reset(), Phase::Handshake);
        assert!(matches!(handshake, EgressError::ConnectionTerminated(_)));
        let body = EgressError::classify(reset(), Phase::Body);
        assert!(matches!(body, EgressError::ResponseIncomplete(_)));
    }
}
