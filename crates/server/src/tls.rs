//! TLS on accepted connections.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto::ring};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;

/// How connections are encrypted.
#[derive(Debug, Clone)]
pub struct TlsParams {
    /// Certificates, versions, and what is offered by ALPN.
    pub config: Arc<ServerConfig>,
    /// How long a client may take for its handshake. Default: 10 seconds, some round trips on the
    /// worst of networks.
    pub handshake_timeout: Duration,
}

/// Why there can be no TLS.
#[derive(Debug, thiserror::Error)]
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
        /// What is wrong with it.
        reason: String,
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
        /// What is wrong with it.
        reason: String,
    },
    /// They do not go together, or cannot be used.
    #[error("the certificate and the key cannot be used together: {0}")]
    Unusable(#[from] rustls::Error),
}

/// What each connection needs for its handshake.
#[derive(Clone)]
pub(crate) struct Handshake {
    acceptor: TlsAcceptor,
    timeout: Duration,
    shutdown: CancellationToken,
}

// === impl TlsParams ===

impl TlsParams {
    /// Reads a chain of certificates and its key. HTTP/2 and HTTP/1.1 are offered, TLS 1.3 and 1.2.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, holds nothing of its kind, or the two do not go together.
    pub fn from_pem_files(certificates: &Path, key: &Path) -> Result<Self, TlsError> {
        let bad_certificate = |error| TlsError::Certificate {
            path: certificates.to_owned(),
            reason: reason(error),
        };
        let chain: Vec<_> = CertificateDer::pem_file_iter(certificates)
            .and_then(Iterator::collect)
            .map_err(bad_certificate)?;
        if chain.is_empty() {
            return Err(bad_certificate(pem::Error::NoItemsFound));
        }
        let key = PrivateKeyDer::from_pem_file(key).map_err(|error| TlsError::Key {
            path: key.to_owned(),
            reason: reason(error),
        })?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            config: Arc::new(config),
            handshake_timeout: Duration::from_secs(10),
        })
    }
}

fn reason(error: pem::Error) -> String {
    match error {
        pem::Error::Io(error) => error.to_string(),
        pem::Error::NoItemsFound => "there is none in it".to_owned(),
        error => error.to_string(),
    }
}

// === impl Handshake ===

impl Handshake {
    pub(crate) fn new(params: TlsParams, shutdown: CancellationToken) -> Self {
        Self {
            acceptor: TlsAcceptor::from(params.config),
            timeout: params.handshake_timeout,
            shutdown,
        }
    }

    /// Does the handshake, in the connection's own task. None is begun, or waited for, once the server
    /// ends: no request is in flight on the connection yet.
    pub(crate) async fn accept(self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let accepting = tokio::time::timeout(self.timeout, self.acceptor.accept(stream));
        match self.shutdown.run_until_cancelled(accepting).await {
            Some(Ok(accepted)) => accepted,
            Some(Err(_elapsed)) => Err(io::ErrorKind::TimedOut.into()),
            None => Err(io::ErrorKind::Interrupted.into()),
        }
    }
}
