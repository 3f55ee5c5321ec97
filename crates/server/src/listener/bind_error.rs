//! Errors of binding a listener.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::endpoint::Endpoint;
use crate::tls::TlsError;

/// An error of binding a listener.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket listens there already.
    #[error(
        "cannot listen on {address}: address in use: stop what listens there, choose another address \
         with --listen, or take any free port with --listen {}", SocketAddr::new(.address.ip(), 0)
    )]
    AddressInUse {
        /// The requested address.
        address: SocketAddr,
    },
    /// The address does not belong to this machine.
    #[error(
        "cannot listen on {address}: no interface of this machine has this address: choose another \
         with --listen, such as 127.0.0.1:{port} for this machine only or 0.0.0.0:{port} for all \
         its interfaces", port = .address.port()
    )]
    AddressNotAvailable {
        /// The requested address.
        address: SocketAddr,
    },
    /// The system reserves the port.
    #[error(
        "cannot listen on {address}: the system does not permit it (ports below 1024 are commonly \
         reserved): choose another port with --listen, or grant the permission"
    )]
    PermissionDenied {
        /// The requested address.
        address: SocketAddr,
    },
    /// Another error of an address.
    #[error("cannot listen on {address}: choose another address with --listen")]
    Other {
        /// The requested address.
        address: SocketAddr,
        /// The system's error.
        source: io::Error,
    },
    /// Another process listens at this path.
    #[error(
        "cannot listen on unix:{}: another process listens there: stop it, or choose another path",
        path.display()
    )]
    PathInUse {
        /// The requested path.
        path: PathBuf,
    },
    /// There is something else at this path, which the server must not remove.
    #[error(
        "cannot listen on unix:{}: a file that is not a socket is there: remove it, or choose another \
         path",
        path.display()
    )]
    PathTaken {
        /// The requested path.
        path: PathBuf,
    },
    /// Another error of a path.
    #[error(
        "cannot listen on unix:{}: check that its folder exists and may be written to, and that the \
         path has fewer than 108 bytes",
        path.display()
    )]
    Path {
        /// The requested path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// There is no such inherited socket, or it cannot be used.
    #[error("cannot listen on systemd:{name}: {problem}")]
    Inherited {
        /// The socket's name or number.
        name: String,
        /// The problem and its remedy.
        problem: String,
    },
    /// TLS cannot be set up.
    #[error("cannot listen with TLS on {endpoint}")]
    Tls {
        /// The endpoint.
        endpoint: Endpoint,
        /// The cause.
        source: Box<TlsError>,
    },
    /// No endpoint was given.
    #[error("no listener is given: name at least one, such as --listen 127.0.0.1:8080")]
    NoListener,
}

// === impl BindError ===

impl BindError {
    pub(crate) fn tcp(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::AddressInUse { address },
            io::ErrorKind::AddrNotAvailable => Self::AddressNotAvailable { address },
            io::ErrorKind::PermissionDenied => Self::PermissionDenied { address },
            _ => Self::Other { address, source },
        }
    }

    pub(crate) fn unix(path: &Path, source: io::Error) -> Self {
        Self::Path {
            path: path.to_owned(),
            source,
        }
    }
}
