//! A connection to an upstream, over TCP or TLS.

use std::io::{self, IoSlice, Read};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    /// Over TCP, or over the TLS of a proxy.
    Tls(Box<TlsStream<Transport>>),
    /// To an upstream in the same test, whose clock may be paused.
    #[cfg(test)]
    Memory(tokio::io::DuplexStream),
}

#[derive(Debug, Clone)]
#[cfg_attr(not(test), expect(dead_code, reason = "spans tell of the peer only"))]
pub(crate) struct ConnectionInfo {
    /// The address that it is connected to: the upstream's, or the proxy's.
    pub(crate) peer: SocketAddr,
    /// True if it goes by a proxy, so that the peer is not the upstream.
    pub(crate) proxied: bool,
    /// True if the setting turned off verification of the upstream's certificate.
    pub(crate) unverified: bool,
}

// === impl Transport ===

impl Transport {
    pub(crate) fn speaks_h2(&self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
            #[cfg(test)]
            Self::Memory(_) => false,
        }
    }
}

/// Reads what the system has, without tokio: a thread that was busy when the bytes came learns of them only
/// when it polls for events again. Returns [`WouldBlock`](io::ErrorKind::WouldBlock) if nothing is there,
/// without registering a waker.
impl Read for Transport {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => Ok(rustix::io::read(stream, buffer)?),
            Self::Tls(stream) => {
                let (below, session) = stream.get_mut();
                loop {
                    match session.reader().read(buffer) {
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        read => return read,
                    }
                    // Some data is for TLS itself, such as a session ticket.
                    session.read_tls(below)?;
                    session.process_new_packets().map_err(io::Error::other)?;
                }
            }
            #[cfg(test)]
            Self::Memory(_) => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// Calls the same method on the stream inside.
macro_rules! each {
    ($transport:expr, $stream:ident => $done:expr) => {
        match $transport {
            Self::Tcp($stream) => $done,
            Self::Tls($stream) => $done,
            #[cfg(test)]
            Self::Memory($stream) => $done,
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buffer))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, buffers))
    }

    fn is_write_vectored(&self) -> bool {
        each!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}
