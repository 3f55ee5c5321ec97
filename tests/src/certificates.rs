//! Certificates in files, for all kinds of servers and clients.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::within;

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    /// Creates an authority of this name, by which OpenSSL distinguishes authorities.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no entropy.
    pub fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key)?.pem();
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, pem })
    }

    /// Returns the authority's own certificate.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes `STEM.pem` and `STEM.key`: a certificate for this name, which is also its subject.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be written.
    pub fn certify(&self, stem: &Path, name: &str) -> Result<()> {
        self.certify_until(stem, name, 2100)
    }

    /// Writes the same files with a certificate that is valid only until this year, in which it
    /// expires.
    ///
    /// # Errors
    ///
    /// Returns an error if they cannot be written.
    pub fn certify_until(&self, stem: &Path, name: &str, year: i32) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(year, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer)?;
        // The certificate is last: whoever waits for it finds both.
        for (extension, text) in [("key", key.serialize_pem()), ("pem", certificate.pem())] {
            let path = stem.with_extension(extension);
            fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    /// Connects as a client that trusts only this authority, expects a server of this name, and
    /// speaks HTTP/1.1.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no connection, or the server has no certificate of this
    /// authority for the name.
    pub async fn connect(&self, address: &str, name: &str) -> Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes())?)?;
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(address).await?;
        let connector = TlsConnector::from(Arc::new(config));
        let connecting = connector.connect(ServerName::try_from(name.to_owned())?, stream);
        Ok(within("a TLS handshake", connecting).await??)
    }
}
