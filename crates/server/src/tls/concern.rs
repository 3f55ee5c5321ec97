//! Warnings about certificates that clients will refuse.

use std::fmt;
use std::path::{Path, PathBuf};

use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, X509Certificate};
use x509_parser::time::ASN1Time;

/// A certificate that has expired or is not valid yet. It is used all the same: the clock may be wrong, and a
/// refused connection tells more than a host that does not start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateConcern {
    path: PathBuf,
    problem: String,
}

// === impl CertificateConcern ===

impl CertificateConcern {
    /// Returns the certificate's file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks the leaf certificate, but not the chain.
    pub(super) fn of(path: &Path, key: &CertifiedKey) -> Option<Self> {
        let der = key.cert.first()?;
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        let now = ASN1Time::now();
        let (from, until) = (validity.not_before, validity.not_after);
        let problem = if now > until {
            format!("has expired ({until}), and clients refuse it: renew it")
        } else if now < from {
            format!(
                "is not valid before {from}, and clients refuse it until then: check it, and the clock of \
                 this machine"
            )
        } else {
            return None;
        };
        Some(Self {
            path: path.to_owned(),
            problem,
        })
    }
}

/// Returns when the leaf certificate expires, in seconds since 1970.
pub(super) fn expiry(key: &CertifiedKey) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(key.cert.first()?).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

impl fmt::Display for CertificateConcern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, problem) = (self.path.display(), &self.problem);
        write!(f, "the certificate in `{path}` {problem}")
    }
}
