//! The certificates of all listeners, to be read again when somebody says so.

use std::path::PathBuf;
use std::sync::Arc;

use super::TlsError;
use super::identity::{Identity, ReadIdentity};

/// The certificates of a server's listeners. Cheap to clone; works for as long as the server does.
#[derive(Debug, Clone, Default)]
pub struct Certificates(Arc<[Arc<Identity>]>);

/// Certificates that were read and are not in force.
#[derive(Debug)]
pub struct ReadCertificates(Vec<(Arc<Identity>, ReadIdentity)>);

// === impl Certificates ===

impl Certificates {
    pub(crate) fn of(identities: impl IntoIterator<Item = Arc<Identity>>) -> Self {
        Self(identities.into_iter().collect())
    }

    /// When the certificates in force expire, in seconds since 1970, by their files. A file that several
    /// listeners show is there for each of them.
    #[must_use]
    pub fn expiries(&self) -> Vec<(PathBuf, i64)> {
        let all = self.0.iter().map(|identity| identity.expiries());
        all.flat_map(|expiries| expiries.to_vec()).collect()
    }

    /// Reads the files of all listeners again, whether they have changed or not. Nothing is in force of
    /// it before [`install`](ReadCertificates::install).
    ///
    /// It reads files: a thread that serves connections is not the place for it.
    ///
    /// # Errors
    ///
    /// When those of a listener cannot be used.
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
    /// Shows them in the handshakes from now on; connections keep what they began with.
    pub fn install(self) {
        for (identity, read) in self.0 {
            identity.install(read);
        }
    }
}
