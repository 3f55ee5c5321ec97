//! From files to what rustls needs.

use std::path::Path;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};

use super::TlsError;
use super::error::reason;
use super::names::Names;
use super::params::{CertificateParams, ClientAuth, TlsParams};

/// Reads everything. The whole is made anew each time, so that what clients resume was agreed on with
/// the certificates and authorities of now.
pub(super) fn config(params: &TlsParams) -> Result<Arc<ServerConfig>, TlsError> {
    let mut names = Names::new(params.unknown_names);
    for pair in &params.certificates {
        names.add(&pair.names, Arc::new(certified_key(pair)?));
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
    Ok(Arc::new(config))
}

fn certified_key(pair: &CertificateParams) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(&pair.certificate)
        .map_err(|error| TlsError::certificate(&pair.certificate, error))?;
    let key =
        PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| TlsError::key(&pair.key, error))?;
    CertifiedKey::from_der(chain, key, &ring::default_provider()).map_err(|source| {
        TlsError::Mismatch {
            certificate: pair.certificate.clone(),
            key: pair.key.clone(),
            source,
        }
    })
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

/// At least one.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let found: Vec<_> = CertificateDer::pem_file_iter(path)?.collect::<Result<_, _>>()?;
    match found.is_empty() {
        true => Err(pem::Error::NoItemsFound),
        false => Ok(found),
    }
}
