//! The connections and requests in flight of each client.
//!
//! Without a limit, a client that opens many streams and reads nothing could hold the places of all services
//! until [`send_timeout`](crate::ConnectionParams::send_timeout), and then do it again.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};

use crate::admission::client_key::ClientKey;
use crate::admission::overload_log::OverloadLog;

/// Many maps, so that requests on different threads seldom wait for each other.
const SHARDS: usize = 32;

/// All clients that have anything open. Clones share their state and are cheap.
#[derive(Debug, Clone)]
pub(crate) struct Clients(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    max_in_flight: Option<usize>,
    /// An entry lives as long as its client.
    shards: [Mutex<HashMap<ClientKey, Weak<Client>>>; SHARDS],
    told: OverloadLog,
    /// Stands for the service in the log: refusals belong to none.
    nobody: Arc<str>,
}

/// One client, while it has anything open.
#[derive(Debug)]
struct Client {
    key: ClientKey,
    address: IpAddr,
    all: Arc<Inner>,
    connections: AtomicUsize,
    in_flight: AtomicUsize,
}

/// A client's share in something that it has open, such as a connection. Requests hold the share of their
/// connection rather than the client: threads that update one reference count wait for each other.
#[derive(Debug)]
pub(crate) struct ClientShare {
    client: Arc<Client>,
    is_connection: bool,
}

/// One request's place among those of its client. Dropping it frees the place.
#[derive(Debug)]
pub(crate) struct ClientPermit(Arc<ClientShare>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyConnections;

// === impl Clients ===

impl Clients {
    /// `max_in_flight` limits the requests of one client; `None` is no limit.
    pub(crate) fn new(max_in_flight: Option<usize>) -> Self {
        Self(Arc::new(Inner {
            max_in_flight,
            shards: Default::default(),
            told: OverloadLog::default(),
            nobody: Arc::from(""),
        }))
    }

    /// Counts a client's connection, unless the client has as many as it may have.
    pub(crate) fn connect(
        &self,
        client: IpAddr,
        limit: Option<usize>,
    ) -> Result<Arc<ClientShare>, TooManyConnections> {
        let client = self.0.find(client);
        // Counts before it compares, so that two concurrent connections cannot both take the last place.
        let before = client.connections.fetch_add(1, Ordering::Relaxed);
        let share = ClientShare {
            client,
            is_connection: true,
        };
        if limit.is_some_and(|limit| before >= limit) {
            share.client.tell(
                "client_connections",
                "a client has reached its limit of connections, and further ones are refused; raise \
                 max_connections_per_client, or list proxies, which then have no limit, in trusted_proxies",
            );
            return Err(TooManyConnections);
        }
        Ok(Arc::new(share))
    }

    /// Returns the share of a client that a proxy names; the connection is the proxy's.
    pub(crate) fn told(&self, client: IpAddr) -> Arc<ClientShare> {
        Arc::new(ClientShare {
            client: self.0.find(client),
            is_connection: false,
        })
    }

    pub(crate) fn limit_requests(&self) -> bool {
        self.0.max_in_flight.is_some()
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let shards = self.0.shards.iter();
        shards.map(|shard| shard.lock().len()).sum()
    }
}

// === impl Inner ===

impl Inner {
    fn shard(&self, key: ClientKey) -> MutexGuard<'_, HashMap<ClientKey, Weak<Client>>> {
        let bits = match key {
            ClientKey::V4(bits) => u64::from(bits),
            ClientKey::V6(bits) => bits,
        };
        // The remainder is less than the number of shards, so truncation does not matter.
        self.shards[(bits % SHARDS as u64) as usize].lock()
    }

    fn find(self: &Arc<Self>, address: IpAddr) -> Arc<Client> {
        let key = ClientKey::from(address);
        let mut shard = self.shard(key);
        if let Some(client) = shard.get(&key).and_then(Weak::upgrade) {
            return client;
        }
        let client = Arc::new(Client {
            key,
            address,
            all: Arc::clone(self),
            connections: AtomicUsize::new(0),
            in_flight: AtomicUsize::new(0),
        });
        shard.insert(key, Arc::downgrade(&client));
        client
    }
}

// === impl Client ===

impl Client {
    /// Logs that something of the client was refused, at most once a second.
    fn tell(&self, kind: &'static str, what: &'static str) {
        let Inner { told, nobody, .. } = &*self.all;
        if let Some(left_out) = told.tell(nobody, kind, Instant::now()) {
            tracing::warn!(
                target: "headwater::server",
                client = %self.address,
                kind,
                left_out = (left_out > 0).then_some(left_out),
                "{what}"
            );
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let mut shard = self.all.shard(self.key);
        // Another client may have taken its place already.
        if shard
            .get(&self.key)
            .is_some_and(|client| client.strong_count() == 0)
        {
            shard.remove(&self.key);
        }
        let len = shard.len();
        if shard.capacity() > 4 * (len + SHARDS) {
            shard.shrink_to(2 * len);
        }
    }
}

// === impl ClientShare ===

impl ClientShare {
    /// Takes a place for one of the client's requests, or returns `None` if all are taken.
    pub(crate) fn enter(self: &Arc<Self>) -> Option<ClientPermit> {
        let client = &self.client;
        let before = client.in_flight.fetch_add(1, Ordering::Relaxed);
        let place = ClientPermit(Arc::clone(self));
        if client.all.max_in_flight.is_none_or(|limit| before < limit) {
            return Some(place);
        }
        client.tell(
            "client_in_flight",
            "a client has reached its limit of requests in flight, and further ones get a 429; raise \
             max_in_flight_per_client, or list a proxy of many clients in trusted_proxies",
        );
        None
    }
}

impl Drop for ClientShare {
    fn drop(&mut self) {
        if self.is_connection {
            self.client.connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

// === impl ClientPermit ===

impl Drop for ClientPermit {
    fn drop(&mut self) {
        self.0.client.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn each_client_has_so_many_requests_by_whichever_connection_and_each_place_comes_free() {
        let clients = Clients::new(Some(2));
        let [one, other] = [(); 2].map(|()| clients.connect(v4(1), None).unwrap());
        let (first, second) = (one.enter().unwrap(), other.enter().unwrap());
        assert!(one.enter().is_none() && other.enter().is_none());
        // A client that a proxy names is the same client.
        assert!(clients.told(v4(1)).enter().is_none());
        assert!(clients.told(v4(2)).enter().is_some());
        drop(first);
        let third = clients.told(v4(1)).enter();
        assert!(third.is_some() && one.enter().is_none());
        drop((second, third));
        assert!(one.enter().is_some());
    }

    #[test]
    fn each_client_has_so_many_connections_and_a_network_of_ipv6_is_one_client() {
        let clients = Clients::new(None);
        let connect = |address: &str| clients.connect(address.parse().unwrap(), Some(1));
        let first = connect("2001:db8:1:2::1").unwrap();
        assert_eq!(
            connect("2001:db8:1:2:ffff::2").unwrap_err(),
            TooManyConnections
        );
        let _other = connect("2001:db8:1:3::1").unwrap();
        drop(first);
        assert!(connect("2001:db8:1:2::3").is_ok());
    }

    #[test]
    fn a_client_that_has_nothing_open_is_forgotten() {
        let clients = Clients::new(Some(1));
        let share = clients.connect(v4(1), None).unwrap();
        let place = share.enter();
        drop(share);
        // The client's request is still in flight.
        assert_eq!(clients.len(), 1);
        assert!(clients.told(v4(1)).enter().is_none());
        drop(place);
        assert_eq!(clients.len(), 0);
        let many: Vec<_> = (0..=255).map(|last| clients.told(v4(last))).collect();
        assert_eq!(clients.len(), 256);
        drop(many);
        assert_eq!(clients.len(), 0);
    }
}
