//! Certificates and keys in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::client_tls::{ClientIdentity, ClientTls};

/// The error of a file of certificates or keys that cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{}` cannot be used for TLS: {problem}", path.display())]
pub struct TlsFileError {
    path: PathBuf,
    problem: String,
}

/// The contents of the files of a service's settings.
#[derive(Debug)]
pub(super) struct LoadedFiles {
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// In the order of the settings.
    pub(super) identities: Vec<Arc<CertifiedKey>>,
}

impl ClientTls {
    /// Reads the files, to find mistakes before the first request does.
    ///
    /// # Errors
    ///
    /// Returns an error for the first file that cannot be used.
    pub fn check(&self) -> Result<(), TlsFileError> {
        LoadedFiles::read(self).map(drop)
    }
}

// === impl LoadedFiles ===

impl LoadedFiles {
    pub(super) fn read(settings: &ClientTls) -> Result<Self, TlsFileError> {
        let mut authorities = Vec::new();
        for path in &settings.authorities {
            let found = certificates(path)?;
            let mut roots = rustls::RootCertStore::empty();
            for certificate in &found {
                roots.add(certificate.clone()).map_err(|error| {
                    failure(path, format!("a certificate in it is malformed ({error})"))
                })?;
            }
            authorities.extend(found);
        }
        let provider = provider();
        let identities = settings
            .identities
            .iter()
            .map(|identity| certified_key(identity, &provider).map(Arc::new))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            authorities,
            identities,
        })
    }
}

/// The cryptography provider, the same everywhere in Headwater.
pub(super) fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

fn certified_key(
    identity: &ClientIdentity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsFileError> {
    let chain = certificates(&identity.certificate)?;
    let path = &identity.key;
    let key = PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::NoItemsFound => failure(
            path,
            "there is no private key in it (PEM, not encrypted, is expected)".to_owned(),
        ),
        error => failure(path, explain(&error)),
    })?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| {
        let certificate = &identity.certificate;
        // webpki's error for a certificate of X.509 version 1 or 2; rustls has no variant for it.
        if error.to_string().contains("UnsupportedCertVersion") {
            return failure(certificate, OLD_VERSION.to_owned());
        }
        let certificate = certificate.display();
        failure(
            path,
            format!("it is not the key of `{certificate}` ({error})"),
        )
    })
}

const OLD_VERSION: &str = "it does not have X.509 version 3, which TLS needs: issue it again with extensions, with \
                           `openssl x509 -req … -extfile FILE`";

/// Reads at least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failure(path, explain(&error)))?;
    if found.is_empty() {
        let problem = "there is no certificate in it: name a PEM file with at least one";
        return Err(failure(path, problem.to_owned()));
    }
    Ok(found)
}

fn explain(error: &pem::Error) -> String {
    match error {
        pem::Error::Io(error) => {
            format!("it cannot be read ({error}): check the path and its permissions")
        }
        error => format!("it is malformed ({error}): name a PEM file"),
    }
}

fn failure(path: &Path, problem: String) -> TlsFileError {
    TlsFileError {
        path: path.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use tempfile::TempDir;

    use super::*;

    fn write(folder: &TempDir, name: &str, text: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::File::create(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .unwrap();
        path
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_with_the_reason() {
        let folder = TempDir::new().unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let certificate = write(&folder, "cert.pem", &made.cert.pem());
        let key = write(&folder, "key.pem", &made.signing_key.serialize_pem());
        let other_key = write(&folder, "other.pem", &other.signing_key.serialize_pem());
        let empty = write(&folder, "empty.pem", "");
        let broken = write(
            &folder,
            "broken.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        );
        let cut = write(&folder, "cut.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n");
        let old = include_str!("../../../../tests/fixtures/x509-v1.pem");
        let old = write(&folder, "old.pem", old);
        let missing = folder.path().join("missing.pem");

        let with = |authority: &PathBuf, pair: Option<(&PathBuf, &PathBuf)>| ClientTls {
            authorities: vec![authority.clone()],
            identities: pair
                .map(|(certificate, key)| ClientIdentity {
                    hosts: "a".parse().unwrap(),
                    certificate: certificate.clone(),
                    key: key.clone(),
                })
                .into_iter()
                .collect(),
            ..ClientTls::default()
        };
        with(&certificate, Some((&certificate, &key)))
            .check()
            .unwrap();
        for (settings, file, reason) in [
            (with(&missing, None), "missing.pem", "cannot be read"),
            (with(&empty, None), "empty.pem", "no certificate"),
            (with(&broken, None), "broken.pem", "malformed"),
            (with(&cut, None), "cut.pem", "malformed"),
            (
                with(&certificate, Some((&old, &key))),
                "old.pem",
                "not have X.509 version 3",
            ),
            (
                with(&certificate, Some((&empty, &key))),
                "empty.pem",
                "no certificate",
            ),
            (
                with(&certificate, Some((&certificate, &empty))),
                "empty.pem",
                "no private key",
            ),
            (
                with(&certificate, Some((&certificate, &other_key))),
                "other.pem",
                "not the key of",
            ),
        ] {
            let error = settings.check().unwrap_err().to_string();
            assert!(error.contains(file) && error.contains(reason), "{error}");
        }
    }
}
