//! The state that the connections of one listener share.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::admission::clients::{ClientShare, TooManyConnections};
use crate::connection::codec::Codec;
use crate::connection::timeouts::Times;
use crate::params::ProxyProtocol;
use crate::pipeline::front::Front;
use crate::request::target::Origin;
use crate::tls::Identity;

pub(crate) struct ListenerContext {
    pub(crate) front: Arc<Front>,
    pub(crate) codec: Arc<Codec>,
    pub(crate) times: Times,
    pub(crate) origin: Origin,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) proxy_protocol: ProxyProtocol,
    pub(crate) max_connections_per_client: Option<usize>,
}

// === impl ListenerContext ===

impl ListenerContext {
    /// Counts a client's connection, or refuses it. Ignores those of proxies and clients without an address.
    pub(crate) fn connect(
        &self,
        client: Option<SocketAddr>,
    ) -> Result<Option<Arc<ClientShare>>, TooManyConnections> {
        let limit = self.max_connections_per_client;
        match client.map(|client| client.ip()) {
            Some(client) if !self.front.is_proxy(client) => {
                self.front.clients().connect(client, limit).map(Some)
            }
            _ => Ok(None),
        }
    }
}
