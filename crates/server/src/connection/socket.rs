//! An accepted connection, TCP or Unix-domain.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

/// A connection that belongs to a runtime. Its first bytes may have been read already.
#[derive(Debug)]
pub(crate) struct Socket {
    early: Bytes,
    stream: Either<TcpStream, UnixStream>,
}

/// A connection that belongs to no runtime, on its way from one to another.
pub(crate) type RawSocket = Either<std::net::TcpStream, std::os::unix::net::UnixStream>;

// === impl Socket ===

impl Socket {
    /// Puts bytes back that were read already, to be read first.
    pub(crate) fn put_back(&mut self, early: Bytes) {
        self.early = early;
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        match &self.stream {
            Either::Left(stream) => stream.local_addr().ok(),
            Either::Right(_) => None,
        }
    }

    /// Sets `TCP_NODELAY`, because a small answer must not wait for an acknowledgement.
    pub(crate) fn set_nodelay(&self) -> io::Result<()> {
        match &self.stream {
            Either::Left(stream) => stream.set_nodelay(true),
            Either::Right(_) => Ok(()),
        }
    }

    /// Takes an accepted connection from its runtime.
    pub(crate) fn into_raw(self) -> io::Result<RawSocket> {
        Ok(match self.stream {
            Either::Left(stream) => Either::Left(stream.into_std()?),
            Either::Right(stream) => Either::Right(stream.into_std()?),
        })
    }

    /// Gives a connection to the current runtime.
    pub(crate) fn adopt(raw: RawSocket) -> io::Result<Self> {
        Ok(match raw {
            Either::Left(stream) => {
                stream.set_nonblocking(true)?;
                TcpStream::from_std(stream)?.into()
            }
            Either::Right(stream) => {
                stream.set_nonblocking(true)?;
                UnixStream::from_std(stream)?.into()
            }
        })
    }
}

impl From<TcpStream> for Socket {
    fn from(stream: TcpStream) -> Self {
        let (early, stream) = (Bytes::new(), Either::Left(stream));
        Self { early, stream }
    }
}

impl From<UnixStream> for Socket {
    fn from(stream: UnixStream) -> Self {
        let (early, stream) = (Bytes::new(), Either::Right(stream));
        Self { early, stream }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.early.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let length = self.early.len().min(buf.remaining());
        buf.put_slice(&self.early.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
