//! The parameters of the server, each with its default and the reason for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::Handle;

use crate::endpoint::Endpoint;
use crate::tls::TlsParams;

/// The parameters of a [`Server`](crate::Server).
#[derive(Debug, Clone)]
pub struct ServerParams {
    /// The listeners, at least one. Default: 127.0.0.1:8080, in plain text.
    pub listeners: Vec<ListenerParams>,
    /// Limits on connections, over all listeners.
    pub limits: ConnectionLimits,
    /// The parameters of each connection.
    pub connection: ConnectionParams,
    /// The parameters of the drain.
    pub drain: DrainParams,
    /// The runtimes that connections are spread over, in turn. Default (none): the current one. With a
    /// runtime of one thread per core, no connection ever moves between cores.
    pub runtimes: Vec<Handle>,
}

/// One listener.
#[derive(Debug, Clone)]
pub struct ListenerParams {
    /// The address to listen on. Default: 127.0.0.1:8080.
    pub endpoint: Endpoint,
    /// The kernel's queue of connections that are not accepted yet. Default: 1024, more than the burst of a
    /// load generator and less than kernels commonly allow (`net.core.somaxconn`, 4096). An inherited socket
    /// keeps its own.
    pub backlog: u32,
    /// TLS. Default: none.
    pub tls: Option<TlsParams>,
    /// Turns the PROXY protocol on. Default: off.
    pub proxy_protocol: ProxyProtocol,
}

/// The PROXY protocol, version 1 or 2: connections begin with a header that names the client
/// (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>). The header comes before TLS, and has as
/// much time as a handshake: [`ConnectionParams::handshake_timeout`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Connections have no header; one that has is answered as a malformed request. The standard forbids
    /// guessing: a client could otherwise name itself.
    #[default]
    Off,
    /// Connections from proxies have a header; those without one are closed.
    Required {
        /// The networks of the proxies. Connections from elsewhere have no header. If empty, all connections
        /// come from proxies, and the network has to ensure that. Those to a Unix-domain socket always do.
        trusted: Vec<IpNet>,
    },
}

/// Limits on connections.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// Open connections over all listeners. One more gets a 503 and is closed; over TLS it is closed without
    /// an answer, because a full host has no time for a handshake. Default: 10 000, which with 64 KiB of head
    /// each is 640 MiB at the worst.
    pub max_connections: usize,
    /// Open connections of one client over all listeners. A client is an IPv4 address or an IPv6 /64 network,
    /// of the socket or of the PROXY header. One more gets a 429 and is closed, over TLS without an answer.
    /// Connections of [trusted proxies](crate::ForwardedParams::trusted) and of Unix-domain sockets have no
    /// limit. Default: none, because a network that hides addresses (NAT, a TCP load balancer, a container
    /// bridge) makes one client of all.
    pub max_connections_per_client: Option<usize>,
}

/// The parameters of the drain.
#[derive(Debug, Clone)]
pub struct DrainParams {
    /// How long the server goes on as before after the signal, for load balancers that take a while to
    /// notice. Default: zero.
    pub delay: Duration,
    /// How long requests in flight may then take to finish. Default: 25 seconds, less than the 30 that
    /// container platforms grant between SIGTERM and SIGKILL.
    pub timeout: Duration,
    /// How long a connection without a request in flight stays open: a request may be on its way, and is
    /// answered with `connection: close`. Default: one second, more than the round trip of any usable
    /// network.
    pub idle_grace: Duration,
}

/// The parameters of connections.
#[derive(Debug, Clone)]
pub struct ConnectionParams {
    /// How long a connection may have no request in flight, from its start; then it is closed (HTTP/1) or
    /// gets a GOAWAY (HTTP/2). Default: 60 seconds, longer than clients' pools commonly keep connections, so
    /// that the client closes first and no request is lost.
    pub keep_alive_timeout: Duration,
    /// How long a TLS handshake may take, and a PROXY header before it, each. Default: 10 seconds, some round
    /// trips on the worst of networks.
    pub handshake_timeout: Duration,
    /// How long a request's head in HTTP/1 may take from its first byte on; then 408. Also limits the preface
    /// of HTTP/2. Default: 10 seconds, some round trips on the worst of networks.
    pub header_read_timeout: Duration,
    /// How long a client may read nothing of what it is sent; then an HTTP/1 connection ends, and an HTTP/2
    /// stream is reset while the others go on. Default: 30 seconds, in which even a phone in a tunnel comes
    /// back.
    pub send_timeout: Duration,
    /// HTTP/1.0 and 1.1.
    pub http1: Http1Params,
    /// HTTP/2 with prior knowledge.
    pub http2: Http2Params,
}

/// The parameters of HTTP/1.
#[derive(Debug, Clone)]
pub struct Http1Params {
    /// If true, connections stay open for further requests. Default: true.
    pub keep_alive: bool,
    /// If true, a client that shut down its sending side still gets its answer. Default: false, because a
    /// client that went away looks the same, and its request would run on.
    pub half_close: bool,
    /// The read buffer, in bytes, which limits a request's head; larger ones get a 431. Default: 64 KiB,
    /// twice what common proxies let through. One connection can make the host hold as much. At least 8 KiB.
    pub max_buffer: usize,
    /// The maximum number of header fields. Default (`None`): 100. Any other value moves the parser's table
    /// from the stack to the heap, at some percent of throughput.
    pub max_headers: Option<usize>,
    /// If true, answers to pipelined requests are collected before they are written. Default: false; hyper
    /// calls it experimental, and clients that pipeline are rare.
    pub pipeline_flush: bool,
    /// If true, head and body are written in one vectored write. Default: true.
    pub vectored_writes: bool,
}

/// The parameters of HTTP/2.
#[derive(Debug, Clone)]
pub struct Http2Params {
    /// Requests in flight on one connection. Default: 200, hyper's; RFC 9113 (6.5.2) recommends at least 100.
    pub max_concurrent_streams: u32,
    /// The maximum size of a request's decoded header fields, in bytes. Default: 64 KiB, as in HTTP/1.
    pub max_header_list_size: u32,
    /// Bytes that a client may send on one stream before the service reads. Default: 1 MiB, hyper's: enough
    /// for 100 Mbit/s at 80 ms.
    pub initial_stream_window: u32,
    /// The same for the whole connection. Default: 1 MiB.
    pub initial_connection_window: u32,
    /// If true, windows grow with the measured bandwidth, in place of the two above. Default: false, so that
    /// what a connection can make the host hold stays fixed.
    pub adaptive_window: bool,
    /// The maximum size of a frame that a client may send, in bytes. Default: 16 KiB, the standard's.
    pub max_frame_size: u32,
    /// Bytes of answers held per stream while the client does not read. Default: 400 KiB, hyper's.
    pub max_send_buffer: usize,
    /// The interval of PINGs on a silent connection. Default: 30 seconds, so that connections of clients that
    /// vanished do not stay open.
    pub keep_alive_interval: Option<Duration>,
    /// How long the answer to a PING may take. Default: 20 seconds, hyper's.
    pub keep_alive_timeout: Duration,
    /// Streams that a client may reset before they were accepted; more end the connection (rapid reset,
    /// CVE-2023-44487). Default: 20, h2's.
    pub max_pending_accept_reset_streams: usize,
    /// Streams that may end by the client's protocol errors; more end the connection. Default: 1024, h2's.
    pub max_local_error_reset_streams: usize,
}

impl Default for ServerParams {
    fn default() -> Self {
        Self {
            listeners: vec![ListenerParams::default()],
            limits: ConnectionLimits::default(),
            connection: ConnectionParams::default(),
            drain: DrainParams::default(),
            runtimes: Vec::new(),
        }
    }
}

impl ListenerParams {
    /// A plain-text listener at this endpoint.
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
