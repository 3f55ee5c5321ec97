//! A listening socket, TCP or Unix-domain.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::task::{Context, Poll, ready};

use headwater_core::FileIdentity;
use tokio::net::{TcpListener, TcpSocket, UnixListener, UnixSocket};
use tokio_util::either::Either;

use crate::connection::socket::{RawSocket, Socket};
use crate::endpoint::{Address, Endpoint};
use crate::listener::bind_error::BindError;
use crate::listener::inherited::{self, RawListener};

#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// With the file to remove when the listener is dropped, if the server made it.
    Unix(UnixListener, Option<SocketFile>),
}

/// The file of a Unix-domain socket. Dropping this removes it.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    /// Device and inode: another process may have replaced the file since.
    identity: Option<FileIdentity>,
}

// === impl Listener ===

impl Listener {
    pub(crate) fn bind(endpoint: &Endpoint, backlog: u32) -> Result<Self, BindError> {
        match endpoint {
            Endpoint::Tcp(address) => bind_tcp(*address, backlog)
                .map(Self::Tcp)
                .map_err(|error| BindError::tcp(*address, error)),
            Endpoint::Unix(path) => {
                let listener = bind_unix(path, backlog)?;
                Ok(Self::Unix(listener, Some(SocketFile::new(path))))
            }
            Endpoint::Inherited(name) => {
                let unusable = |error: io::Error| BindError::Inherited {
                    name: name.clone(),
                    problem: format!("it cannot be used ({error})"),
                };
                match inherited::take(name)? {
                    Either::Left(listener) => TcpListener::from_std(listener).map(Self::Tcp),
                    Either::Right(listener) => {
                        UnixListener::from_std(listener).map(|listener| Self::Unix(listener, None))
                    }
                }
                .map_err(unusable)
            }
        }
    }

    pub(crate) fn address(&self) -> io::Result<Address> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Address::Tcp),
            Self::Unix(listener, _) => {
                let address = listener.local_addr()?;
                let path = address.as_pathname().unwrap_or(Path::new(""));
                Ok(Address::Unix(path.to_owned()))
            }
        }
    }

    /// Accepts the next connection, with the client's address if it has one.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(Socket, Option<SocketAddr>)>> {
        match self {
            Self::Tcp(listener) => {
                let accepted = ready!(listener.poll_accept(cx));
                Poll::Ready(accepted.map(|(stream, client)| (stream.into(), Some(client))))
            }
            Self::Unix(listener, _) => {
                let accepted = ready!(listener.poll_accept(cx));
                Poll::Ready(accepted.map(|(stream, _)| (stream.into(), None)))
            }
        }
    }

    /// Leaves the runtime, whose readiness events may lag behind the kernel's queue; only the queue matters
    /// now.
    pub(crate) fn into_raw(self) -> io::Result<(RawListener, Option<SocketFile>)> {
        match self {
            Self::Tcp(listener) => Ok((Either::Left(listener.into_std()?), None)),
            Self::Unix(listener, file) => Ok((Either::Right(listener.into_std()?), file)),
        }
    }
}

fn bind_tcp(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that restarts at once must not fail because of the old one's closing connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

fn bind_unix(path: &Path, backlog: u32) -> Result<UnixListener, BindError> {
    let attempt = || -> io::Result<UnixListener> {
        let socket = UnixSocket::new_stream()?;
        socket.bind(path)?;
        socket.listen(backlog)
    };
    match attempt() {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            remove_stale(path)?;
            attempt().map_err(|error| BindError::unix(path, error))
        }
        bound => bound.map_err(|error| BindError::unix(path, error)),
    }
}

/// Removes the file of an earlier process, if no process listens there any more.
fn remove_stale(path: &Path) -> Result<(), BindError> {
    let metadata = std::fs::symlink_metadata(path).map_err(|error| BindError::unix(path, error))?;
    if !metadata.file_type().is_socket() {
        return Err(BindError::PathTaken {
            path: path.to_owned(),
        });
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path).map_err(|error| BindError::unix(path, error))
        }
        // A socket with a full queue, or without the permission to connect, has an owner, too.
        Ok(_) | Err(_) => Err(BindError::PathInUse {
            path: path.to_owned(),
        }),
    }
}

// === impl SocketFile ===

impl SocketFile {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            identity: identity(path),
        }
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // If this fails, the next process removes the stale file.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Returns the identity of the socket itself, and not of a file that a link leads to.
fn identity(path: &Path) -> Option<FileIdentity> {
    let metadata = std::fs::symlink_metadata(path).ok()?;
    Some(FileIdentity::of(&metadata))
}

/// Accepts a queued connection; returns `WouldBlock` if there is none.
pub(crate) fn accept_waiting(
    listener: &RawListener,
) -> io::Result<(RawSocket, Option<SocketAddr>)> {
    match listener {
        Either::Left(listener) => {
            let (stream, client) = listener.accept()?;
            Ok((RawSocket::Left(stream), Some(client)))
        }
        Either::Right(listener) => Ok((RawSocket::Right(listener.accept()?.0), None)),
    }
}
