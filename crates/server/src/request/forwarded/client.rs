//! The field values that tell services about a client.

use std::net::{IpAddr, SocketAddr};

use http::HeaderValue;
use http::uri::Scheme;

/// Field values about a client, made once for a connection.
#[derive(Debug)]
pub(crate) struct Client {
    /// The client's address, without the port, as most software expects.
    pub(super) address: Option<HeaderValue>,
    /// As in RFC 7239. The host is left out: it depends on the request.
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
            // Always valid text; the alternative only avoids a panic.
            forwarded: HeaderValue::from_str(&forwarded)
                .unwrap_or_else(|_| HeaderValue::from_static("for=unknown")),
        }
    }
}
