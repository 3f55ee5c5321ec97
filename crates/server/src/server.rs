//! The listeners, from binding to drain.

use std::collections::HashMap;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use tokio::runtime::Handle;
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::accept::BackOff;
use crate::bind_error::BindError;
use crate::clock::Times;
use crate::codec;
use crate::connection;
use crate::counts::ConnectionCounts;
use crate::endpoint::{BoundAddress, Endpoint, Place};
use crate::front::Front;
use crate::listener::Listener;
use crate::params::{ConnectionParams, DrainParams, ListenerParams, ProxyProtocol, ServerParams};
use crate::pulse::Pulse;
use crate::refusal::Refusals;
use crate::site::Site;
use crate::socket::Socket;
use crate::target::Origin;
use crate::tls::{self, Identity};

/// Bound listeners that do not accept yet.
#[derive(Debug)]
pub struct Server {
    listeners: Vec<Bound>,
    addresses: Vec<BoundAddress>,
    counts: ConnectionCounts,
    connection: ConnectionParams,
    drain: DrainParams,
    lanes: Vec<Handle>,
}

#[derive(Debug)]
struct Bound {
    listener: Listener,
    identity: Option<Arc<Identity>>,
    proxy_protocol: ProxyProtocol,
}

/// How serving ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServeOutcome {
    /// Every request in flight was answered.
    Drained,
    /// The drain's time was over, and these connections were closed with requests in flight.
    Cut {
        /// How many.
        connections: usize,
    },
}

/// The connections that there are.
struct Crowd {
    sites: Vec<Arc<Site>>,
    counts: ConnectionCounts,
    lanes: Vec<Handle>,
    next_lane: usize,
    /// Owns the connections' tasks, so that whatever becomes of the server, none outlives it.
    tasks: JoinSet<()>,
    pulses: HashMap<Id, Arc<Pulse>>,
    refusals: Refusals,
}

// === impl Server ===

impl Server {
    /// Takes the addresses. Connections queue from here on; [`serve`](Self::serve) accepts them.
    ///
    /// # Errors
    ///
    /// When the system refuses an address, or a listener's certificates cannot be used; the error
    /// names it and the remedy.
    pub async fn bind(params: ServerParams) -> Result<Self, BindError> {
        let ServerParams {
            listeners,
            limits,
            connection,
            drain,
            lanes,
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
            listeners: bound,
            addresses,
            connection,
            drain,
            lanes,
        })
    }

    /// Where the listeners are, in the order of [`ServerParams::listeners`], with the ports that were
    /// taken.
    #[must_use]
    pub fn addresses(&self) -> &[BoundAddress] {
        &self.addresses
    }

    /// How many connections there are, from now until long after the end.
    #[must_use]
    pub fn connections(&self) -> ConnectionCounts {
        self.counts.clone()
    }

    /// Accepts and serves until `shutdown` is cancelled; then waits for what
    /// [`DrainParams::delay`] says, takes what waits to be accepted, closes the listeners, lets the
    /// requests in flight finish, and cuts those that outlast the drain's time.
    pub async fn serve(self, front: Arc<Front>, shutdown: CancellationToken) -> ServeOutcome {
        let Self {
            listeners,
            addresses,
            counts,
            connection,
            drain,
            lanes,
        } = self;
        let codec = Arc::new(codec::codec(&connection));
        let times = Times {
            keep_alive: connection.keep_alive_timeout,
            header_read: connection.header_read_timeout,
            send: connection.send_timeout,
            idle_grace: drain.idle_grace,
        };
        let mut watches = JoinSet::new();
        let mut crowd = Crowd::new(counts, lanes);
        let mut open = Vec::with_capacity(listeners.len());
        for (bound, address) in listeners.into_iter().zip(&addresses) {
            let Bound {
                listener,
                identity,
                proxy_protocol,
            } = bound;
            if let Some(identity) = &identity {
                watches.spawn(tls::watch(Arc::clone(identity)));
            }
            crowd.sites.push(Arc::new(Site {
                front: Arc::clone(&front),
                codec: Arc::clone(&codec),
                times: times.clone(),
                origin: origin(address),
                identity,
                proxy_protocol,
            }));
            open.push(listener);
        }

        let end = async {
            shutdown.cancelled().await;
            // Even a sleep of no time at all waits for the clock's next tick.
            if !drain.delay.is_zero() {
                tokio::time::sleep(drain.delay).await;
            }
        };
        tokio::select! {
            biased;
            () = end => {}
            () = crowd.accept(&open) => {}
        }
        // From now on the system refuses new connections.
        let _files = crowd.take_remainder(open);
        crowd.drain(drain.timeout).await
    }
}

fn origin(address: &BoundAddress) -> Origin {
    // An address always is an authority; a path never is.
    let authority = address
        .socket_addr()
        .and_then(|address| Authority::try_from(address.to_string()).ok())
        .unwrap_or_else(|| Authority::from_static("localhost"));
    let scheme = match address.is_tls() {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    };
    Origin { scheme, authority }
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
        let place = place(&listener, &endpoint)?;
        let address = BoundAddress {
            tls: identity.is_some(),
            place,
        };
        let bound = Self {
            listener,
            identity: identity.map(Arc::new),
            proxy_protocol,
        };
        Ok((bound, address))
    }
}

fn place(listener: &Listener, endpoint: &Endpoint) -> Result<Place, BindError> {
    listener.place().map_err(|source| match endpoint {
        Endpoint::Tcp(address) => BindError::tcp(*address, source),
        Endpoint::Unix(path) => BindError::unix(path, source),
        Endpoint::Inherited(name) => BindError::Inherited {
            name: name.clone(),
            problem: format!("its address cannot be told ({source})"),
        },
    })
}

// === impl Crowd ===

impl Crowd {
    fn new(counts: ConnectionCounts, lanes: Vec<Handle>) -> Self {
        Self {
            sites: Vec::new(),
            counts,
            lanes,
            next_lane: 0,
            tasks: JoinSet::new(),
            pulses: HashMap::new(),
            refusals: Refusals::default(),
        }
    }

    /// Accepts for ever.
    async fn accept(&mut self, listeners: &[Listener]) {
        let mut back_off = BackOff::new();
        let mut turn = 0;
        loop {
            match self.next(listeners, &mut turn).await {
                Ok((at, stream, client)) => {
                    back_off.succeeded();
                    self.admit(at, stream, client);
                }
                Err(error) => {
                    if let Some(wait) = back_off.failed(&error) {
                        tracing::warn!(
                            target: "headwater::server",
                            %error,
                            wait_ms = wait.as_millis(),
                            "no connection can be accepted for now (out of descriptors? see `ulimit -n`)"
                        );
                        tokio::time::sleep(wait).await;
                    }
                }
            }
        }
    }

    /// The next connection, with its listener; meanwhile, lets go of the tasks that have ended.
    async fn next(
        &mut self,
        listeners: &[Listener],
        turn: &mut usize,
    ) -> io::Result<(usize, Socket, Option<SocketAddr>)> {
        loop {
            tokio::select! {
                accepted = poll_fn(|cx| poll_any(listeners, turn, cx)) => return accepted,
                Some(ended) = self.tasks.join_next_with_id() => self.report(ended),
            }
        }
    }

    fn admit(&mut self, at: usize, stream: Socket, client: Option<SocketAddr>) {
        let Some(site) = self.sites.get(at) else {
            return;
        };
        let Some(counted) = self.counts.admit(at) else {
            self.refusals.refuse(stream, site.identity.is_some());
            return;
        };
        let (site, pulse) = (Arc::clone(site), Pulse::new());
        let task = match self.lanes.get(self.next_lane) {
            None => {
                let served = connection::serve(stream, client, site, Arc::clone(&pulse), counted);
                self.tasks.spawn(served)
            }
            Some(lane) => {
                self.next_lane = (self.next_lane + 1) % self.lanes.len();
                let Ok(stream) = stream.into_raw() else {
                    return;
                };
                let begun = Arc::clone(&pulse);
                let served = async move {
                    // Fails only where the runtime is ending.
                    if let Ok(stream) = stream.adopt() {
                        connection::serve(stream, client, site, begun, counted).await;
                    }
                };
                self.tasks.spawn_on(served, lane)
            }
        };
        self.pulses.insert(task.id(), pulse);
    }

    /// Takes the connections that wait already, whose clients believe them to be open, and closes the
    /// listeners. What is given removes the files of sockets when it is dropped.
    fn take_remainder(&mut self, listeners: Vec<Listener>) -> Vec<impl Sized + use<>> {
        let mut files = Vec::new();
        for (at, listener) in listeners.into_iter().enumerate() {
            let Ok((remainder, file)) = listener.into_remainder() else {
                continue;
            };
            files.extend(file);
            while let Ok((stream, client)) = remainder.accept() {
                if let Ok(stream) = stream.adopt() {
                    self.admit(at, stream, client);
                }
            }
        }
        files
    }

    async fn drain(mut self, timeout: Duration) -> ServeOutcome {
        for pulse in self.pulses.values() {
            pulse.drain();
        }
        let ended = tokio::time::timeout(timeout, async {
            while let Some(ended) = self.tasks.join_next_with_id().await {
                self.report(ended);
            }
        })
        .await;
        if ended.is_ok() {
            return ServeOutcome::Drained;
        }
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.report(ended);
        }
        let cut = self.tasks.len();
        self.tasks.shutdown().await;
        ServeOutcome::Cut { connections: cut }
    }

    fn report(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(target: "headwater::server", %error, "a connection's task panicked");
                }
                error.id()
            }
        };
        self.pulses.remove(&id);
    }
}

/// The listeners take turns in being asked first, so that none keeps the others waiting.
fn poll_any(
    listeners: &[Listener],
    turn: &mut usize,
    cx: &mut Context<'_>,
) -> Poll<io::Result<(usize, Socket, Option<SocketAddr>)>> {
    for _ in 0..listeners.len() {
        *turn = (*turn + 1) % listeners.len();
        if let Some(listener) = listeners.get(*turn)
            && let Poll::Ready(accepted) = listener.poll_accept(cx)
        {
            return Poll::Ready(accepted.map(|(stream, client)| (*turn, stream, client)));
        }
    }
    Poll::Pending
}
