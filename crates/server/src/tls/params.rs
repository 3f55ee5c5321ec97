//! How a listener's connections are encrypted.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// How connections are encrypted: TLS 1.3 and 1.2, with HTTP/2 and HTTP/1.1 offered.
#[derive(Debug, Clone)]
pub struct TlsParams {
    /// Whom the server can be, at least one. The first is for clients that name nobody.
    pub certificates: Vec<CertificateParams>,
    /// What is done for a client that asks for a name which no certificate has. Default: the first
    /// certificate is shown, and the client decides.
    pub unknown_names: UnknownNames,
    /// Whether clients show certificates. Default: no.
    pub client_auth: ClientAuth,
    /// How often the files are looked at; when one has changed all are read again, for the handshakes
    /// from then on. `None`: never. Default: 5 seconds.
    pub watch: Option<Duration>,
}

/// A certificate and its key.
#[derive(Debug, Clone)]
pub struct CertificateParams {
    /// A PEM file with the certificate first, and then those that it was signed by.
    pub certificate: PathBuf,
    /// A PEM file with one unencrypted key (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The names that it is shown for, such as `example.com` or `*.example.com`. Default (none): the
    /// DNS names in the certificate.
    pub names: Vec<String>,
}

/// What is done for a client that asks for a name which no certificate has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownNames {
    /// It is shown the first certificate.
    #[default]
    Default,
    /// The handshake is refused (`unrecognized_name`, RFC 6066), also if it names nobody.
    Refuse,
}

/// Whether clients show certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    #[default]
    Off,
    /// They are asked. One that shows none is served; one that shows a bad one is not.
    Optional {
        /// A PEM file with the certificates of those who may sign them.
        authorities: PathBuf,
    },
    /// Who shows none is not served.
    Required {
        /// A PEM file with the certificates of those who may sign them.
        authorities: PathBuf,
    },
}

// === impl TlsParams ===

impl TlsParams {
    /// With one certificate. Nothing is read yet.
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

    /// All files that these are made of.
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
