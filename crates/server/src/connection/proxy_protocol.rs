//! The PROXY protocol, by which a proxy names the client.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, Bytes};
use proxy_header::{Error, ParseConfig, ProxyHeader};
use tokio::io::AsyncReadExt;

use crate::connection::socket::Socket;
use crate::params::ProxyProtocol;

/// The longest header that is accepted, in bytes. Version 1 has at most 107. Version 2 allows 64 KiB of
/// further fields, none of which is used here; proxies send a few hundred bytes.
const LONGEST: usize = 4 << 10;

/// Source and destination; `None` if the proxy speaks for itself (`LOCAL`), or does not know (`UNKNOWN`).
pub(crate) type Proxied = Option<(SocketAddr, SocketAddr)>;

// === impl ProxyProtocol ===

impl ProxyProtocol {
    /// Returns true if a connection from this address begins with a header.
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

/// Reads the header, and nothing after it.
pub(crate) async fn read_header(mut socket: Socket) -> io::Result<(Socket, Proxied)> {
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
                    "the PROXY header is missing or malformed",
                ));
            }
        }
    };
    let mut early = Bytes::from(early);
    early.advance(length);
    socket.put_back(early);
    Ok((socket, proxied))
}
