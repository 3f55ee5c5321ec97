//! The server, from binding to drain.

use std::sync::Arc;

use http::uri::{Authority, Scheme};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::connection::codec;
use crate::connection::counts::ConnectionCounts;
use crate::connection::listener_context::ListenerContext;
use crate::connection::timeouts::Times;
use crate::endpoint::{Address, BoundAddress, Endpoint};
use crate::listener::acceptor::{Acceptor, ServeOutcome};
use crate::listener::bind_error::BindError;
use crate::listener::socket_listener::Listener;
use crate::params::{ConnectionParams, DrainParams, ListenerParams, ProxyProtocol, ServerParams};
use crate::pipeline::front::Front;
use crate::request::target::Origin;
use crate::tls::{Certificates, Identity};

/// Bound listeners that do not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Bound>,
    addresses: Vec<BoundAddress>,
    counts: ConnectionCounts,
    max_connections_per_client: Option<usize>,
    connection: ConnectionParams,
    drain: DrainParams,
    runtimes: Vec<Handle>,
}

#[derive(Debug)]
struct Bound {
    listener: Listener,
    identity: Option<Arc<Identity>>,
    proxy_protocol: ProxyProtocol,
}

// === impl Server ===

impl Server {
    /// Binds the listeners. Connections queue from here on; [`serve`](Self::serve) accepts them.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses an address, or a listener's certificates cannot be used. The
    /// error names the address and the remedy.
    pub async fn bind(params: ServerParams) -> Result<Self, BindError> {
        let ServerParams {
            listeners,
            limits,
            connection,
            drain,
            runtimes,
        } = params;
        if listeners.is_empty() {
            return Err(BindError::NoListener);
        }
        let mut bound = Vec::with_capacity(listeners.len());
        let mut addresses = Vec::with_capacity(listeners.len());
        for params in listeners {
            let (listener, address) = Bound::new(params)?;
            bound.push(listener);
            addresses.push(address);
        }
        Ok(Self {
            counts: ConnectionCounts::new(limits.max_connections, &addresses),
            max_connections_per_client: limits.max_connections_per_client,
            listeners: bound,
            addresses,
            connection,
            drain,
            runtimes,
        })
    }

    /// Returns the listeners' addresses with their actual ports, in the order of [`ServerParams::listeners`].
    #[must_use]
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// Returns the certificates of the listeners, for reading them again on request. Their files are also
    /// checked for changes, see [`TlsParams::watch`](crate::TlsParams::watch).
    #[must_use]
    pub fn certificates(&self) -> Certificates {
        let identities = self.listeners.iter();
        Certificates::of(identities.filter_map(|bound| bound.identity.clone()))
    }

    /// Returns a handle to the connection counts, which stays valid after the end.
    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        self.counts.clone()
    }

    /// Serves until `shutdown` is cancelled. Then waits for [`DrainParams::delay`], accepts the queued
    /// connections, closes the listeners, lets the requests in flight finish, and closes those that outlast
    /// the drain's timeout.
    pub async fn serve(self, front: Arc<Front>, shutdown: CancellationToken) -> ServeOutcome {
        let Self {
            listeners,
            addresses,
            counts,
            max_connections_per_client,
            connection,
            drain,
            runtimes,
        } = self;
        let codec = Arc::new(codec::codec(&connection));
        let times = Times {
            keep_alive: connection.keep_alive_timeout,
            handshake: connection.handshake_timeout,
            header_read: connection.header_read_timeout,
            send: connection.send_timeout,
            idle_grace: drain.idle_grace,
        };
        let mut watches = JoinSet::new();
        let mut contexts = Vec::with_capacity(listeners.len());
        let mut open = Vec::with_capacity(listeners.len());
        for (bound, address) in listeners.into_iter().zip(&addresses) {
            let Bound {
                listener,
                identity,
                proxy_protocol,
            } = bound;
            if let Some(identity) = &identity {
                watches.spawn(Arc::clone(identity).watch());
            }
            contexts.push(Arc::new(ListenerContext {
                front: Arc::clone(&front),
                codec: Arc::clone(&codec),
                times: times.clone(),
                origin: origin(address),
                identity,
                proxy_protocol,
                max_connections_per_client,
            }));
            open.push(listener);
        }

        let mut acceptor = Acceptor::new(contexts, counts, runtimes);
        let end = async {
            shutdown.cancelled().await;
            // Even a sleep of zero waits for the clock's next tick.
            if !drain.delay.is_zero() {
                tokio::time::sleep(drain.delay).await;
            }
        };
        tokio::select! {
            biased;
            () = end => {}
            () = acceptor.accept(&open) => {}
        }
        // From now on the system refuses new connections.
        let _files = acceptor.take_remainder(open);
        acceptor.drain(drain.timeout).await
    }
}

fn origin(address: &BoundAddress) -> Origin {
    // Never fails for an address; always for a path.
    let authority = address
        .socket_addr()
        .and_then(|address| Authority::try_from(address.to_string()).ok())
        .unwrap_or_else(|| Authority::from_static("localhost"));
    let is_tls = address.is_tls();
    let scheme = if is_tls { Scheme::HTTPS } else { Scheme::HTTP };
    Origin::new(scheme, authority)
}

// === impl Bound ===

impl Bound {
    fn new(params: ListenerParams) -> Result<(Self, BoundAddress), BindError> {
        let ListenerParams {
            endpoint,
            backlog,
            tls,
            proxy_protocol,
        } = params;
        let identity = tls
            .map(Identity::load)
            .transpose()
            .map_err(|source| BindError::Tls {
                endpoint: endpoint.clone(),
                source: Box::new(source),
            })?;
        let listener = Listener::bind(&endpoint, backlog)?;
        let address = BoundAddress {
            tls: identity.is_some(),
            address: address(&listener, &endpoint)?,
        };
        let bound = Self {
            listener,
            identity: identity.map(Arc::new),
            proxy_protocol,
        };
        Ok((bound, address))
    }
}

fn address(listener: &Listener, endpoint: &Endpoint) -> Result<Address, BindError> {
    listener.address().map_err(|source| match endpoint {
        Endpoint::Tcp(address) => BindError::tcp(*address, source),
        Endpoint::Unix(path) => BindError::unix(path, source),
        Endpoint::Inherited(name) => BindError::Inherited {
            name: name.clone(),
            problem: format!("its address cannot be read ({source})"),
        },
    })
}
