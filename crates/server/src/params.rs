//! Every knob of the front, each with its default and the reason for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Handle;

use crate::endpoint::Endpoint;
use crate::tls::TlsParams;

/// What a [`Server`](crate::Server) is made of.
#[derive(Debug, Clone)]
pub struct ServerParams {
    /// Where connections come from, at least one. Default: 127.0.0.1:8080, in plain text.
    pub listeners: Vec<ListenerParams>,
    /// What bounds connections, over all listeners.
    pub limits: ConnectionLimits,
    /// How each connection is spoken with.
    pub connection: ConnectionParams,
    /// How the end goes.
    pub drain: DrainParams,
    /// The runtimes that connections are spread over, in turn. Default (none): the one that serves.
    /// With a runtime of one thread per core, no connection ever moves between cores.
    pub lanes: Vec<Handle>,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerParams {
    /// Where to listen. Default: 127.0.0.1:8080.
    pub endpoint: Endpoint,
    /// Connections that the kernel holds until they are accepted. Default: 1024, above the burst of
    /// a load generator and below what a kernel commonly allows (`net.core.somaxconn`, 4096). An
    /// inherited socket keeps its own.
    pub backlog: u32,
    /// How connections are encrypted. Default: they are not.
    pub tls: Option<TlsParams>,
    /// Whether a proxy in front says who the client is. Default: no.
    pub proxy_protocol: ProxyProtocol,
}

/// Whether connections begin with a header of the PROXY protocol, version 1 or 2, that names the
/// client (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). It comes before TLS, and may
/// take as long as a handshake: [`ConnectionParams::handshake_timeout`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// They do not, and one that does is answered as a malformed request. The standard forbids to
    /// guess: a client could otherwise name itself.
    #[default]
    Off,
    /// They do, and one that does not is closed.
    Required {
        /// The networks of the proxies. Connections from elsewhere have no header, and are taken for
        /// what they are. Empty: all connections come from proxies, which the network has to make
        /// sure of. Those to a Unix-domain socket always do.
        trusted: Vec<IpNet>,
    },
}

/// What bounds connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Connections at once over all listeners. One more is answered `503` at once and closed; under
    /// TLS it is closed without a word, because a handshake is what a host that is full has no time
    /// for. Default: 10 000, which with 64 KiB of head each is 640 MiB at the worst.
    pub max_connections: usize,
    /// Connections at once of one client, over all listeners: an IPv4 address or a network of 64 bits of
    /// IPv6, that of the socket or what a header of the PROXY protocol says. One more is answered 429 and
    /// closed, as one beyond [`max_connections`](Self::max_connections) is with 503. Those of
    /// [trusted proxies](crate::ForwardedParams::trusted) and of Unix-domain sockets have no limit.
    /// Default: none, because a network that hides addresses (NAT, a balancer of TCP, a bridge of
    /// containers) makes one of all clients.
    pub max_connections_per_client: Option<usize>,
}

/// How a server ends.
#[derive(Debug, Clone)]
pub struct DrainParams {
    /// How long everything goes on as before after the signal, for balancers that take a while to
    /// notice. Default: none.
    pub delay: Duration,
    /// How long requests in flight may then take to finish. Default: 25 seconds, under the 30 that
    /// container platforms grant between SIGTERM and SIGKILL.
    pub timeout: Duration,
    /// How long a connection without a request in flight is still kept: a request may be on its way
    /// while the signal comes, and is answered, with `connection: close`. Default: one second, above
    /// the round trip of any network that is worth serving.
    pub idle_grace: Duration,
}

/// How connections are spoken with.
#[derive(Debug, Clone)]
pub struct ConnectionParams {
    /// How long a connection may have no request in flight, from its first moment on; then it is
    /// closed (HTTP/1), or told to go (HTTP/2, by GOAWAY). Default: 60 seconds, above what clients'
    /// pools commonly keep, so that the client is the one who closes and no request is lost.
    pub keep_alive_timeout: Duration,
    /// How long a TLS handshake may take, and before it a header of the PROXY protocol, each. Default:
    /// 10 seconds, some round trips on the worst of networks.
    pub handshake_timeout: Duration,
    /// How long a request's head may take from its first byte on in HTTP/1; then 408. The preface of
    /// HTTP/2 may take as long. Default: 10 seconds, some round trips on the worst of networks.
    pub header_read_timeout: Duration,
    /// How long a client may take none of what it is sent: then an HTTP/1 connection ends, and in
    /// HTTP/2 the stream is reset whose window stays empty, while the others go on. Default: 30
    /// seconds, in which even a phone in a tunnel comes back.
    pub send_timeout: Duration,
    /// HTTP/1.0 and 1.1.
    pub http1: Http1Params,
    /// HTTP/2 with prior knowledge.
    pub http2: Http2Params,
}

/// How HTTP/1 is spoken.
#[derive(Debug, Clone)]
pub struct Http1Params {
    /// Whether connections are kept for further requests. Default: yes.
    pub keep_alive: bool,
    /// Whether a client that shut down its sending side still gets its answer. Default: no, because
    /// then a client that went away could not be told from it, and its request would run on.
    pub half_close: bool,
    /// The read buffer, which bounds a request's head: 431 beyond it. Default: 64 KiB, twice what
    /// common proxies let through, and what one connection can make the host hold. At least 8 KiB.
    pub max_buffer: usize,
    /// The greatest number of header fields. Default (`None`): 100. Any other value moves the
    /// parser's table from the stack to the heap, at some percent of throughput.
    pub max_headers: Option<usize>,
    /// Whether answers to pipelined requests are collected before they are written. Default: no;
    /// hyper calls it experimental, and clients that pipeline are rare.
    pub pipeline_flush: bool,
    /// Whether head and body go out in one vectored write. Default: yes.
    pub vectored_writes: bool,
}

/// How HTTP/2 is spoken.
#[derive(Debug, Clone)]
pub struct Http2Params {
    /// Requests at once on one connection. Default: 200, hyper's, which RFC 9113 (6.5.2) asks to be
    /// no less than 100.
    pub max_concurrent_streams: u32,
    /// The greatest size of a request's header fields, decoded, in bytes. Default: 64 KiB, as in
    /// HTTP/1.
    pub max_header_list_size: u32,
    /// Bytes that a client may send on one stream before the service reads. Default: 1 MiB,
    /// hyper's: enough for 100 Mbit/s at 80 ms.
    pub initial_stream_window: u32,
    /// The same for the whole connection. Default: 1 MiB.
    pub initial_connection_window: u32,
    /// Whether windows grow with the measured bandwidth, in place of the two above. Default: no, so
    /// that what a connection can make the host hold stays fixed.
    pub adaptive_window: bool,
    /// The greatest frame that a client may send, in bytes. Default: 16 KiB, the standard's.
    pub max_frame_size: u32,
    /// Bytes of answers held per stream while the client does not read. Default: 400 KiB, hyper's.
    pub max_send_buffer: usize,
    /// How often a silent connection is asked for a sign of life. Default: 30 seconds, so that
    /// clients that vanished without a word do not stay for ever.
    pub keep_alive_interval: Option<Duration>,
    /// How long that sign may take. Default: 20 seconds, hyper's.
    pub keep_alive_timeout: Duration,
    /// Streams that a client may reset before they were looked at; beyond it the connection ends
    /// (rapid reset, CVE-2023-44487). Default: 20, h2's.
    pub max_pending_accept_reset_streams: usize,
    /// Streams that may end by the client's protocol errors before the connection does. Default:
    /// 1024, h2's.
    pub max_local_error_reset_streams: usize,
}

impl Default for ServerParams {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerParams::default()],
            limits: ConnectionLimits::default(),
            connection: ConnectionParams::default(),
            drain: DrainParams::default(),
            lanes: Vec::new(),
        }
    }
}

impl ListenerParams {
    /// A plain listener at this place.
    #[must_use]
    pub fn at(endpoint: impl Into<Endpoint>) -> Self {
        Self {
            endpoint: endpoint.into(),
            backlog: 1024,
            tls: None,
            proxy_protocol: ProxyProtocol::Off,
        }
    }
}

impl Default for ListenerParams {
    fn default() -> Self {
        Self::at(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
    }
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_connections_per_client: None,
        }
    }
}

impl Default for DrainParams {
    fn default() -> Self {
        Self {
            delay: Duration::ZERO,
            timeout: Duration::from_secs(25),
            idle_grace: Duration::from_secs(1),
        }
    }
}

impl Default for ConnectionParams {
    fn default() -> Self {
        Self {
            keep_alive_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(10),
            header_read_timeout: Duration::from_secs(10),
            send_timeout: Duration::from_secs(30),
            http1: Http1Params::default(),
            http2: Http2Params::default(),
        }
    }
}

impl Default for Http1Params {
    fn default() -> Self {
        Self {
            keep_alive: true,
            half_close: false,
            max_buffer: 64 << 10,
            max_headers: None,
            pipeline_flush: false,
            vectored_writes: true,
        }
    }
}

impl Default for Http2Params {
    fn default() -> Self {
        Self {
            max_concurrent_streams: 200,
            max_header_list_size: 64 << 10,
            initial_stream_window: 1 << 20,
            initial_connection_window: 1 << 20,
            adaptive_window: false,
            max_frame_size: 16 << 10,
            max_send_buffer: 400 << 10,
            keep_alive_interval: Some(Duration::from_secs(30)),
            keep_alive_timeout: Duration::from_secs(20),
            max_pending_accept_reset_streams: 20,
            max_local_error_reset_streams: 1024,
        }
    }
}
