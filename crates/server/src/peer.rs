//! The other end of a connection.

use std::net::SocketAddr;

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
}
