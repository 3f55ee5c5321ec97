//! The TLS settings of a service.

use std::path::PathBuf;
use std::time::Duration;

use crate::HostPattern;
use crate::target::Host;

/// TLS settings besides the default roots. All files are PEM.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// Files of certificates that are trusted besides the [`TlsRoots`](crate::TlsRoots). Default:
    /// none.
    pub authorities: Vec<PathBuf>,
    /// Client certificates for upstreams that ask for one; the first that matches the host is used.
    /// Default: none.
    pub identities: Vec<ClientIdentity>,
    /// Hosts whose certificates are not verified, so that anybody may pretend to be them: for
    /// development only. Default: none.
    pub unverified: Vec<HostPattern>,
    /// The shortest time between two checks of the files for changes; checks happen only when a
    /// connection is made. Default: one second, so that a renewed certificate is used almost at
    /// once, and the checks cost nothing measurable.
    pub reload: Duration,
}

/// A certificate for some hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdentity {
    /// The hosts that it is used for.
    pub hosts: HostPattern,
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its unencrypted key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

// === impl ClientTls ===

impl ClientTls {
    pub(super) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let identities = self.identities.iter();
        let pairs = identities.flat_map(|identity| [&identity.certificate, &identity.key]);
        self.authorities.iter().chain(pairs)
    }

    pub(super) fn identity(&self, host: &Host) -> Option<usize> {
        self.identities
            .iter()
            .position(|identity| identity.hosts.matches(host))
    }

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
