//! How services are told of a client.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;
use http::uri::Scheme;

/// What fields say of a client, made once for a connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// Its address, without the port: what is commonly understood.
    pub(super) address: Option<HeaderValue>,
    /// As RFC 7239 has it. The host is left out: it is the request's own.
    pub(super) forwarded: HeaderValue,
}

// === impl Client ===

impl Client {
    pub(super) fn new(address: Option<SocketAddr>, scheme: &Scheme) -> Self {
        let address = address.map(|address| address.ip().to_canonical());
        let node = match address {
            Some(IpAddr::V4(address)) => address.to_string(),
            Some(IpAddr::V6(address)) => format!("\"[{address}]\""),
            None => "unknown".to_owned(),
        };
        let forwarded = format!("for={node};proto={scheme}");
        Self {
            address: address.and_then(|address| HeaderValue::from_str(&address.to_string()).ok()),
            // Nothing in it can be no text; the alternative is there so that nothing can panic.
            forwarded: HeaderValue::from_str(&forwarded)
                .unwrap_or_else(|_| HeaderValue::from_static("for=unknown")),
        }
    }
}
