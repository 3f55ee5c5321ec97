//! TLS as a service's settings have it.

use std::path::PathBuf;
use std::time::Duration;

use crate::HostPattern;
use crate::target::Host;

/// What a service's TLS is besides the roots that it trusts by default. All files are PEM.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// Files of certificates that are trusted besides the [`TlsRoots`](crate::TlsRoots). Default:
    /// none.
    pub authorities: Vec<PathBuf>,
    /// Certificates that the service shows to upstreams that ask for one; of several for a host the
    /// first counts. Default: none.
    pub identities: Vec<ClientIdentity>,
    /// Hosts whose certificates are not verified, so that anybody may pretend to be them: for
    /// development only. Default: none.
    pub unverified: Vec<HostPattern>,
    /// How often the files are looked at for changes, at most, and only when a connection is made.
    /// Default: one second, so that a renewed certificate is used at once in practice, and a look
    /// costs nothing that can be measured.
    pub reload: Duration,
}

/// A certificate for some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// To whom it is shown.
    pub hosts: HostPattern,
    /// The certificate, and those between it and the root.
    pub certificate: PathBuf,
    /// Its key, not encrypted: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

// === impl ClientTls ===

impl ClientTls {
    /// All files that it names.
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identities = self.identities.iter();
        let pairs = identities.flat_map(|identity| [&identity.certificate, &identity.key]);
        self.authorities.iter().chain(pairs)
    }

    /// Which of the identities is for a host.
    pub(super) fn identity(&self, host: &Host) -> Option<usize> {
        self.identities
            .iter()
            .position(|identity| identity.hosts.matches(host))
    }

    /// Whether a host's certificate is verified.
    pub(super) fn verifies(&self, host: &Host) -> bool {
        !self.unverified.iter().any(|hosts| hosts.matches(host))
    }
}

impl Default for ClientTls {
    fn default() -> Self {
        Self {
            authorities: Vec::new(),
            identities: Vec::new(),
            unverified: Vec::new(),
            reload: Duration::from_secs(1),
        }
    }
}
