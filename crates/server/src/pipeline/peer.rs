//! The peer of a connection.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use crate::admission::clients::ClientShare;
use crate::request::certificate::ClientCertificate;
use crate::request::forwarded::{Client, canonical};
use crate::request::target::Origin;
use crate::routing::route::Route;

/// The peer of a connection, and the state that its requests share.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The client's address, of the socket or of the PROXY header. `None` for a Unix-domain socket.
    pub(crate) client: Option<SocketAddr>,
    /// The client's share, unless each request has its own.
    pub(crate) share: Option<Arc<ClientShare>>,
    /// The address that the client connected to. `None` for a Unix-domain socket.
    pub(crate) local: Option<SocketAddr>,
    /// The scheme, and the authority of a request that names none.
    pub(crate) origin: Origin,
    /// The verified certificate of the client.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// The fields that tell services about the client, made for the first request.
    pub(crate) introduction: OnceLock<Client>,
    pub(crate) names: OnceLock<Names>,
}

/// A connection's copies of a route's names: threads that update one reference count wait for each other.
#[derive(Debug)]
pub(crate) struct Names {
    of: [Arc<str>; 2],
    own: [Arc<str>; 2],
}

// === impl Peer ===

impl Peer {
    /// A peer with these addresses; all else is unknown yet.
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

    /// Returns the service and the pattern of a route, as the connection's copies if it is the first route.
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
            false => of,
        }
    }
}
