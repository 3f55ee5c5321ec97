//! The certificates of all listeners, for reading them again.

use std::path::PathBuf;
use std::sync::Arc;

use super::TlsError;
use super::identity::{Identity, ReadIdentity};

/// The certificates of a server's listeners. Cheap to clone; valid as long as the server runs.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<[Arc<Identity>]>);

/// Certificates that were read, but are not used yet.
#[derive(Debug)]
pub struct ReadCertificates(Vec<(Arc<Identity>, ReadIdentity)>);

// === impl Certificates ===

impl Certificates {
    pub(crate) fn of(identities: impl IntoIterator<Item = Arc<Identity>>) -> Self {
        Self(identities.into_iter().collect())
    }

    /// Returns the files of the certificates in use and their expiry times, in seconds since 1970. A file of
    /// several listeners appears once for each.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, i64)> {
        let all = self.0.iter().map(|identity| identity.expiries());
        all.flat_map(|expiries| expiries.to_vec()).collect()
    }

    /// Reads the files of all listeners again, changed or not. They are used only after
    /// [`install`](ReadCertificates::install).
    ///
    /// Blocks while it reads files: do not call it on a thread that serves connections.
    ///
    /// # Errors
    ///
    /// Returns an error if the certificates of a listener cannot be used.
    pub fn read(&self) -> Result<ReadCertificates, TlsError> {
        let read = self.0.iter().map(|identity| {
            let read = identity.read()?;
            Ok((Arc::clone(identity), read))
        });
        read.collect::<Result<_, _>>().map(ReadCertificates)
    }
}

// === impl ReadCertificates ===

impl ReadCertificates {
    /// Uses the certificates for new handshakes; connections keep what they began with.
    pub fn install(self) {
        for (identity, read) in self.0 {
            identity.install(read);
        }
    }
}
