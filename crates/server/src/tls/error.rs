//! Errors of setting up TLS.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem;

/// An error of setting up TLS.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// The certificates cannot be read.
    #[error(
        "the certificates in `{}` cannot be read: {reason}; a PEM file with the server's certificate \
         first is expected",
        path.display()
    )]
    Certificate {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The certificate is of an older version of X.509.
    #[error(
        "the certificate in `{}` has X.509 version {version}, and TLS needs version 3, which includes the \
         server's names: issue it again with `openssl x509 -req … -extfile FILE` and a FILE \
         that says `subjectAltName = DNS:NAME`",
        path.display()
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The version, 1 or 2.
        version: u32,
    },
    /// The key cannot be read.
    #[error(
        "the key in `{}` cannot be read: {reason}; a PEM file with one unencrypted private key \
         (PKCS#8, PKCS#1 or SEC1) is expected",
        path.display()
    )]
    Key {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The key is encrypted.
    #[error(
        "the key in `{0}` is encrypted, and the host cannot ask for its password: decrypt it with \
         `openssl pkey -in {0} -out NEW.key`, and let only this host read it",
        path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// The certificates of the clients' authorities cannot be read.
    #[error(
        "the authorities of client certificates in `{}` cannot be used: \
         {reason}; a PEM file with at least one certificate is expected",
        path.display()
    )]
    Authorities {
        /// The file.
        path: PathBuf,
        /// The problem.
        reason: String,
    },
    /// The certificate and the key do not match.
    #[error(
        "the certificate in `{}` and the key in `{}` cannot be used together: {source}; give each \
         certificate its own key",
        certificate.display(), key.display()
    )]
    Mismatch {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// No certificate is given.
    #[error("there is no certificate: name at least one, with its key")]
    Empty,
    /// Another error.
    #[error("TLS cannot be set up: {0}")]
    Unusable(#[from] rustls::Error),
}

// === impl TlsError ===

impl TlsError {
    pub(super) fn certificate(path: &Path, error: pem::Error) -> Self {
        Self::Certificate {
            path: path.to_owned(),
            reason: reason(error),
        }
    }

    pub(super) fn key(path: &Path, error: pem::Error) -> Self {
        Self::Key {
            path: path.to_owned(),
            reason: reason(error),
        }
    }

    pub(super) fn authorities(path: &Path, reason: impl ToString) -> Self {
        Self::Authorities {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

pub(super) fn reason(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => format!("{error}: check the path and its permissions"),
        pem::Error::NoItemsFound => "the file has none".to_owned(),
        error => error.to_string(),
    }
}
