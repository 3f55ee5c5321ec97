//! TLS on accepted connections.

mod certificates;
mod concern;
mod error;
mod identity;
mod load;
mod names;
mod params;
mod subject;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::request::certificate::ClientCertificate;

pub use self::certificates::{Certificates, ReadCertificates};
pub use self::concern::CertificateConcern;
pub use self::error::TlsError;
pub(crate) use self::identity::Identity;
pub use self::params::{CertificateParams, ClientAuth, TlsParams, UnknownNames};

/// Does the handshake, within its timeout.
pub(crate) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    identity: &Identity,
    stream: S,
    timeout: Duration,
) -> io::Result<(TlsStream<S>, Option<Arc<ClientCertificate>>)> {
    let acceptor = TlsAcceptor::from(identity.config());
    let accepting = tokio::time::timeout(timeout, acceptor.accept(stream));
    let stream = accepting
        .await
        .map_err(|_elapsed| io::Error::from(io::ErrorKind::TimedOut))??;
    let certificate = stream
        .get_ref()
        .1
        .peer_certificates()
        .and_then(|chain| chain.first())
        .and_then(subject::client_certificate);
    Ok((stream, certificate))
}
