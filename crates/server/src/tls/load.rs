//! Loads rustls's configuration from files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use x509_parser::prelude::{FromDer, X509Certificate, X509Version};

use super::TlsError;
use super::concern::{CertificateConcern, expiry};
use super::error::reason;
use super::names::Names;
use super::params::{CertificateParams, ClientAuth, TlsParams};

pub(super) struct LoadedIdentity {
    pub(super) config: Arc<ServerConfig>,
    pub(super) concerns: Vec<CertificateConcern>,
    /// The expiry time of each certificate, in seconds since 1970, with its file.
    pub(super) expiries: Arc<[(PathBuf, i64)]>,
}

impl TlsParams {
    /// Makes parameters with one certificate, after checking that it can be used.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read, has no item of its kind, or the two do not match.
    pub fn from_pem_files(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        let params = Self::new(certificate, key);
        params.check()?;
        Ok(params)
    }

    /// Reads all files to check that they can be used. Returns warnings about certificates that clients will
    /// refuse.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read, has no item of its kind, or two do not match.
    pub fn check(&self) -> Result<Vec<CertificateConcern>, TlsError> {
        config(self).map(|loaded| loaded.concerns)
    }
}

/// Reads all files. Makes everything anew each time, so that clients only resume sessions that were made with
/// the current certificates and authorities.
pub(super) fn config(params: &TlsParams) -> Result<LoadedIdentity, TlsError> {
    let mut names = Names::new(params.unknown_names);
    let mut concerns = Vec::new();
    let mut expiries = Vec::new();
    for pair in &params.certificates {
        let key = certified_key(pair)?;
        concerns.extend(CertificateConcern::of(&pair.certificate, &key));
        expiries.extend(expiry(&key).map(|expires| (pair.certificate.clone(), expires)));
        names.add(&pair.names, Arc::new(key));
    }
    if params.certificates.is_empty() {
        return Err(TlsError::Empty);
    }
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    let builder = match verifier(&params.client_auth)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(names));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(LoadedIdentity {
        config: Arc::new(config),
        concerns,
        expiries: expiries.into(),
    })
}

fn certified_key(pair: &CertificateParams) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&pair.certificate)
        .map_err(|error| TlsError::certificate(&pair.certificate, error))?;
    // For such a certificate, rustls too would only report a mismatch of certificate and key.
    if let Some(version) = chain.first().and_then(older_version) {
        return Err(TlsError::Version {
            path: pair.certificate.clone(),
            version,
        });
    }
    let key = private_key(&pair.key)?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| {
        TlsError::Mismatch {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
            source,
        }
    })
}

/// Returns the X.509 version (RFC 5280 4.1.2.1), unless it is 3.
fn older_version(certificate: &CertificateDer<'_>) -> Option<u32> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let version = certificate.version();
    (version != X509Version::V3).then_some(version.0 + 1)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let text = std::fs::read(path).map_err(|error| TlsError::key(path, pem::Error::Io(error)))?;
    // The marks of PKCS#8 and of OpenSSL's older formats (RFC 1421 4.6.1.1).
    let marks = [
        &b"BEGIN ENCRYPTED PRIVATE KEY"[..],
        b"Proc-Type: 4,ENCRYPTED",
    ];
    let has = |mark: &[u8]| text.windows(mark.len()).any(|part| part == mark);
    if marks.into_iter().any(has) {
        return Err(TlsError::EncryptedKey {
            path: path.to_owned(),
        });
    }
    PrivateKeyDer::from_pem_slice(&text).map_err(|error| TlsError::key(path, error))
}

fn verifier(auth: &ClientAuth) -> Result<Option<Arc<dyn ClientCertVerifier>>, TlsError> {
    let Some(path) = auth.authorities() else {
        return Ok(None);
    };
    let mut roots = RootCertStore::empty();
    let found = certificates(path).map_err(|error| TlsError::authorities(path, reason(error)))?;
    for certificate in found {
        roots
            .add(certificate)
            .map_err(|error| TlsError::authorities(path, error))?;
    }
    let provider = Arc::new(ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if let ClientAuth::Optional { .. } = auth {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder
        .build()
        .map_err(|error| TlsError::authorities(path, error))?;
    Ok(Some(verifier))
}

/// Reads at least one certificate.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use rcgen::{KeyPair, date_time_ymd};

    use super::*;

    /// Makes a certificate that is valid between the two years, with its key.
    fn params(folder: &Path, from: i32, to: i32) -> TlsParams {
        let key = KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(to, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.join("c.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("k.pem"), key.serialize_pem()).unwrap();
        TlsParams::new(folder.join("c.pem"), folder.join("k.pem"))
    }

    #[test]
    fn a_certificate_whose_time_is_not_now_can_be_used_and_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        for (from, to, said) in [
            (2001, 2002, Some(("has expired (", "2002"))),
            (2090, 2091, Some(("is not valid before", "2090"))),
            (2001, 2090, None),
        ] {
            let concerns = params(folder.path(), from, to).check().unwrap();
            let told: Vec<_> = concerns.iter().map(ToString::to_string).collect();
            match (&told[..], said) {
                ([], None) => {}
                ([told], Some((said, year))) => {
                    assert!(told.contains(said) && told.contains(year), "{told}");
                    assert!(told.contains("c.pem"), "{told}");
                }
                (told, _) => panic!("{told:?}"),
            }
        }
    }

    #[test]
    fn a_certificate_of_version_1_is_told_so_with_the_remedy_and_may_be_an_authority() {
        let folder = tempfile::tempdir().unwrap();
        let mut params = params(folder.path(), 2001, 2090);
        let old = include_str!("../../../../tests/fixtures/x509-v1.pem");
        fs::write(folder.path().join("old.pem"), old).unwrap();
        params.client_auth = ClientAuth::Required {
            authorities: folder.path().join("old.pem"),
        };
        params.check().unwrap();
        fs::write(folder.path().join("c.pem"), old).unwrap();
        let error = params.check().unwrap_err().to_string();
        assert!(error.contains("c.pem` has X.509 version 1"), "{error}");
        assert!(error.contains("`subjectAltName = DNS:NAME`"), "{error}");
    }

    #[test]
    fn a_key_that_is_encrypted_is_told_so_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let params = params(folder.path(), 2001, 2090);
        for text in [
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n",
            "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n",
        ] {
            fs::write(folder.path().join("k.pem"), text).unwrap();
            let error = params.check().unwrap_err().to_string();
            assert!(error.contains("k.pem` is encrypted"), "{error}");
            assert!(error.contains("`openssl pkey -in"), "{error}");
        }
        fs::write(folder.path().join("k.pem"), "nothing").unwrap();
        let error = params.check().unwrap_err().to_string();
        assert!(error.contains("the file has none"), "{error}");
    }
}
