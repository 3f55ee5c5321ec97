//! The other end of a connection.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::target::Origin;

/// Who is at the other end of a connection, and what requests that come by it have in common.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The client's address: that of the socket, or what a PROXY header says. None for a Unix-domain
    /// socket.
    pub(crate) client: Option<SocketAddr>,
    /// The address that was connected to. None for a Unix-domain socket.
    pub(crate) local: Option<SocketAddr>,
    /// The scheme, and whom a request is for that does not say it.
    pub(crate) origin: Origin,
    /// The certificate that the client has shown, and that was found good.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
}

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The certificate itself.
    pub(crate) der: Vec<u8>,
    /// Whom it was made for, as RFC 4514 writes it.
    pub(crate) subject: String,
}
