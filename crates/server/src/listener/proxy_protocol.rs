//! The PROXY protocol: a proxy's word on who the client is.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use crate::listener::socket::Socket;
use crate::params::ProxyProtocol;

/// The longest header that is taken, in bytes. Version 1 has at most 107; version 2 could have 64 KiB
/// of further fields, of which proxies send a few hundred bytes, and none is used here.
const LONGEST: usize = 4 << 10;

/// Source and destination of a proxied connection; none if the proxy speaks for itself (`LOCAL`), or
/// does not know (`UNKNOWN`).
pub(crate) type Proxied = Option<(SocketAddr, SocketAddr)>;

/// A connection of which the beginning may have been read.
#[derive(Debug)]
pub(crate) struct Begun {
    early: Bytes,
    socket: Socket,
}

// === impl ProxyProtocol ===

impl ProxyProtocol {
    /// Whether a connection from this address begins with a header.
    pub(crate) fn expects_from(&self, client: Option<SocketAddr>) -> bool {
        match (self, client) {
            (Self::Off, _) => false,
            (Self::Required { .. }, None) => true,
            (Self::Required { trusted }, Some(client)) => {
                let client = client.ip().to_canonical();
                trusted.is_empty() || trusted.iter().any(|network| network.contains(&client))
            }
        }
    }
}

/// Reads the header.
pub(crate) async fn read_header(mut socket: Socket) -> io::Result<(Begun, Proxied)> {
    let config = ParseConfig {
        include_tlvs: false,
        ..ParseConfig::default()
    };
    let mut early = Vec::with_capacity(256);
    let (proxied, length) = loop {
        if socket.read_buf(&mut early).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match ProxyHeader::parse(&early, config) {
            Ok((header, length)) => {
                let address = header.proxied_address();
                break (
                    address.map(|address| (address.source, address.destination)),
                    length,
                );
            }
            Err(Error::BufferTooShort) if early.len() < LONGEST => {}
            Err(_) => {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "no header of the PROXY protocol was sent, or a malformed one",
                ));
            }
        }
    };
    let mut early = Bytes::from(early);
    early.advance(length);
    Ok((Begun { early, socket }, proxied))
}

// === impl Begun ===

impl From<Socket> for Begun {
    fn from(socket: Socket) -> Self {
        Self {
            early: Bytes::new(),
            socket,
        }
    }
}

impl AsyncRead for Begun {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.early.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let length = this.early.len().min(buf.remaining());
        buf.put_slice(&this.early.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Begun {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }
}
