//! Why a server cannot listen.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::endpoint::Endpoint;
use crate::tls::TlsError;

/// Why a server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Something listens there already.
    #[error(
        "cannot listen on {address}: address in use: stop what listens there, choose another address \
         with --listen, or take any free port with --listen {}", SocketAddr::new(.address.ip(), 0)
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
    /// Anything else about an address.
    #[error("cannot listen on {address}: choose another address with --listen")]
    Other {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Another process listens at this path.
    #[error(
        "cannot listen on unix:{}: another process listens there: stop it, or choose another path",
        path.display()
    )]
    PathInUse {
        /// The path asked for.
        path: PathBuf,
    },
    /// There is something else at this path, which is not ours to remove.
    #[error(
        "cannot listen on unix:{}: there is a file that is no socket: remove it, or choose another \
         path",
        path.display()
    )]
    PathTaken {
        /// The path asked for.
        path: PathBuf,
    },
    /// Anything else about a path.
    #[error(
        "cannot listen on unix:{}: check that its folder exists and may be written to, and that the \
         path has fewer than 108 bytes",
        path.display()
    )]
    Path {
        /// The path asked for.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no such inherited socket, or it cannot be used.
    #[error("cannot listen on systemd:{name}: {problem}")]
    Inherited {
        /// Its name or number.
        name: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// There can be no TLS there.
    #[error("cannot listen with TLS on {endpoint}")]
    Tls {
        /// Where.
        endpoint: Endpoint,
        /// Why not.
        source: Box<TlsError>,
    },
    /// There is nothing to listen on.
    #[error(
        "there is nothing to listen on: name at least one listener, such as --listen 127.0.0.1:8080"
    )]
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
