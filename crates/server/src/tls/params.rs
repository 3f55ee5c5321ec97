//! The TLS parameters of a listener.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// TLS 1.3 and 1.2 parameters; HTTP/2 and HTTP/1.1 are offered.
#[derive(Debug, Clone)]
pub struct TlsParams {
    /// The certificates, at least one. The first is for clients that ask for no name.
    pub certificates: Vec<CertificateParams>,
    /// The handling of clients that ask for a name without a certificate. Default: they get the first
    /// certificate, and decide themselves.
    pub unknown_names: UnknownNames,
    /// Client certificates: off, optional or required. Default: off.
    pub client_auth: ClientAuth,
    /// The interval of checks for changed files. If one has changed, all are read again, for new handshakes.
    /// `None` turns this off. Default: 5 seconds.
    pub watch: Option<Duration>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct CertificateParams {
    /// A PEM file with the certificate first, followed by its chain.
    pub certificate: PathBuf,
    /// A PEM file with one unencrypted key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The names to use it for, such as `example.com` or `*.example.com`. Default (none): the DNS names in
    /// the certificate.
    pub names: Vec<String>,
}

/// The handling of clients that ask for a name without a certificate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// Uses the first certificate.
    #[default]
    Default,
    /// Refuses the handshake (`unrecognized_name`, RFC 6066), also without a name.
    Refuse,
}

/// Client certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Does not ask for certificates.
    #[default]
    Off,
    /// Asks for a certificate. Serves clients without one, but not those with an invalid one.
    Optional {
        /// A PEM file with the certificates of the accepted authorities.
        authorities: PathBuf,
    },
    /// Refuses clients without a valid certificate.
    Required {
        /// A PEM file with the certificates of the accepted authorities.
        authorities: PathBuf,
    },
}

// === impl TlsParams ===

impl TlsParams {
    /// Makes parameters with one certificate. Reads no file yet.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self {
            certificates: vec![CertificateParams {
                certificate: certificate.into(),
                key: key.into(),
                names: Vec::new(),
            }],
            unknown_names: UnknownNames::Default,
            client_auth: ClientAuth::Off,
            watch: Some(Duration::from_secs(5)),
        }
    }

    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let pairs = self
            .certificates
            .iter()
            .flat_map(|pair| [pair.certificate.as_path(), pair.key.as_path()]);
        pairs.chain(self.client_auth.authorities())
    }
}

// === impl ClientAuth ===

impl ClientAuth {
    pub(super) fn authorities(&self) -> Option<&Path> {
        match self {
            Self::Off => None,
            Self::Optional { authorities } | Self::Required { authorities } => Some(authorities),
        }
    }
}
