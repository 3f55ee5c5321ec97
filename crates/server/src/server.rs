//! The listener, from binding to drain.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::uri::{Authority, Scheme};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::accept::BackOff;
use crate::connection::{self, Codec};
use crate::front::Front;
use crate::params::{ConnectionParams, ServerParams};
use crate::peer::Peer;
use crate::target::Origin;
use crate::tls::{Handshake, TlsParams};

/// A bound listener that does not accept yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    local: SocketAddr,
    tls: Option<TlsParams>,
    connection: ConnectionParams,
    drain_timeout: Duration,
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

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something listens there already.
    #[error(
        "cannot listen on {address}: address in use: stop what listens there, choose another address \
         with --listen, or take any free port with --listen {}:0", host(.address)
    )]
    AddressInUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The address is not of this machine.
    #[error(
        "cannot listen on {address}: no interface of this machine has this address: choose another \
         with --listen, such as 127.0.0.1:{port} for this machine only or 0.0.0.0:{port} for all \
         its interfaces", port = .address.port()
    )]
    AddressNotAvailable {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The system reserves the port.
    #[error(
        "cannot listen on {address}: the system does not permit it (ports below 1024 are commonly \
         reserved): choose another port with --listen, or grant the permission"
    )]
    PermissionDenied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else.
    #[error("cannot listen on {address}: choose another address with --listen")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

// === impl Server ===

impl Server {
    /// Takes the address. Connections queue from here on; [`serve`](Self::serve) accepts them.
    ///
    /// # Errors
    ///
    /// When the system refuses the address; the error names it and the remedy.
    pub async fn bind(params: ServerParams) -> Result<Self, BindError> {
        let ServerParams {
            listen,
            backlog,
            drain_timeout,
            tls,
            connection,
        } = params;
        let listener = listen_on(listen, backlog).map_err(|error| BindError::new(listen, error))?;
        let local = listener
            .local_addr()
            .map_err(|error| BindError::new(listen, error))?;
        Ok(Self {
            listener,
            local,
            tls,
            connection,
            drain_timeout,
        })
    }

    /// The address with the port that was taken.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Accepts and serves until `shutdown` is cancelled; then closes the listener, lets the requests
    /// in flight finish, and cuts those that outlast the drain's time.
    pub async fn serve(self, front: Arc<Front>, shutdown: CancellationToken) -> ServeOutcome {
        let Self {
            listener,
            local,
            tls,
            connection,
            drain_timeout,
        } = self;
        let origin = Origin {
            scheme: match tls {
                Some(_) => Scheme::HTTPS,
                None => Scheme::HTTP,
            },
            authority: authority(local),
        };
        let codec = connection::codec(connection);
        let graceful = GracefulShutdown::new();
        // Owns the connections' tasks, so that whatever becomes of this future, none outlives it.
        let mut connections = JoinSet::new();

        let tls = tls.map(|tls| Handshake::new(tls, shutdown.clone()));
        let accepting = accept(
            listener,
            tls.as_ref(),
            &codec,
            &origin,
            &front,
            &graceful,
            &mut connections,
        );
        // Dropping the loop closes the listener: from now on the system refuses new connections.
        let _ = shutdown.run_until_cancelled(accepting).await;

        match tokio::time::timeout(drain_timeout, graceful.shutdown()).await {
            Ok(()) => ServeOutcome::Drained,
            Err(_elapsed) => {
                while let Some(ended) = connections.try_join_next() {
                    report(ended);
                }
                let cut = connections.len();
                connections.shutdown().await;
                ServeOutcome::Cut { connections: cut }
            }
        }
    }
}

fn listen_on(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that comes back at once must not be kept out by the old one's closing connections.
    #[cfg(not(windows))]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

/// What a request without a `Host` field was sent to.
fn authority(local: SocketAddr) -> Authority {
    // An address always is an authority; the alternative is there so that nothing can panic.
    Authority::try_from(local.to_string()).unwrap_or_else(|_| Authority::from_static("localhost"))
}

/// Accepts for ever.
async fn accept(
    listener: TcpListener,
    tls: Option<&Handshake>,
    codec: &Codec,
    origin: &Origin,
    front: &Arc<Front>,
    graceful: &GracefulShutdown,
    connections: &mut JoinSet<()>,
) {
    let mut back_off = BackOff::new();
    loop {
        match next(&listener, connections).await {
            Ok((stream, client)) => {
                back_off.succeeded();
                let peer = Peer {
                    client: Some(client),
                    local: stream.local_addr().ok(),
                    origin: origin.clone(),
                    certificate: None,
                    introduction: OnceLock::new(),
                };
                connections.spawn(connection::serve(
                    stream,
                    peer,
                    tls.cloned(),
                    codec.clone(),
                    Arc::clone(front),
                    graceful.watcher(),
                ));
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

/// The next connection; meanwhile, lets go of the tasks that have ended.
async fn next(
    listener: &TcpListener,
    connections: &mut JoinSet<()>,
) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        tokio::select! {
            accepted = listener.accept() => return accepted,
            Some(ended) = connections.join_next() => report(ended),
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(target: "headwater::server", %error, "a connection's task panicked");
    }
}

// === impl BindError ===

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable { address },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { address },
            _ => Self::Other { address, source },
        }
    }
}

/// The address without its port, as an authority has it.
fn host(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(address) => address.ip().to_string(),
        SocketAddr::V6(address) => format!("[{}]", address.ip()),
    }
}
