//! The other end of a connection.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use crate::admission::clients::ClientShare;
use crate::request::certificate::ClientCertificate;
use crate::request::forwarded::{Client, canonical};
use crate::request::target::Origin;
use crate::routing::route::Route;

/// Who is at the other end of a connection, and what requests that come by it have in common.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The client's address: that of the socket, or what a PROXY header says. None for a Unix-domain
    /// socket.
    pub(crate) client: Option<SocketAddr>,
    /// Its part in what the client has open, unless that is counted for each request alone.
    pub(crate) share: Option<Arc<ClientShare>>,
    /// The address that was connected to. None for a Unix-domain socket.
    pub(crate) local: Option<SocketAddr>,
    /// The scheme, and whom a request is for that does not say it.
    pub(crate) origin: Origin,
    /// The certificate that the client showed, if it was verified.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// What services are told of it, from the first request on.
    pub(crate) introduction: OnceLock<Client>,
    /// What the route of its first request is called.
    pub(crate) names: OnceLock<Names>,
}

/// The names of a route, in a copy of one connection's own: each request holds them, and threads that
/// count at one place how many do wait for each other.
#[derive(Debug)]
pub(crate) struct Names {
    of: [Arc<str>; 2],
    own: [Arc<str>; 2],
}

// === impl Peer ===

impl Peer {
    /// Of these addresses; all else is not known yet.
    pub(crate) fn new(
        client: Option<SocketAddr>,
        local: Option<SocketAddr>,
        origin: Origin,
    ) -> Self {
        Self {
            client: client.map(canonical),
            share: None,
            local: local.map(canonical),
            origin,
            certificate: None,
            introduction: OnceLock::new(),
            names: OnceLock::new(),
        }
    }

    /// What the service and the pattern of a route are called.
    pub(crate) fn names<'a>(&'a self, route: &'a Route) -> [&'a Arc<str>; 2] {
        let of = [&route.service, &route.pattern];
        let names = self.names.get_or_init(|| Names {
            of: of.map(Arc::clone),
            own: of.map(|name| Arc::from(&**name)),
        });
        let are_these = names
            .of
            .iter()
            .zip(of)
            .all(|(one, other)| Arc::ptr_eq(one, other));
        match are_these {
            true => names.own.each_ref(),
            // No more than the first are remembered.
            false => of,
        }
    }
}
