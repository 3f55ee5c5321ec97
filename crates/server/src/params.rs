//! Every knob of the front, each with its default and the reason for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::tls::TlsParams;

/// What a [`Server`](crate::Server) is made of.
#[derive(Debug, Clone)]
pub struct ServerParams {
    /// Where to listen. Default: 127.0.0.1:8080. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections that the kernel holds until they are accepted. Default: 1024, above the burst of
    /// a load generator and below what a kernel commonly allows (`net.core.somaxconn`, 4096).
    pub backlog: u32,
    /// How long requests in flight may take to finish at the end. Default: 25 seconds, under the 30
    /// that container platforms grant between SIGTERM and SIGKILL.
    pub drain_timeout: Duration,
    /// How connections are encrypted. Default: they are not.
    pub tls: Option<TlsParams>,
    /// How each connection is spoken with.
    pub connection: ConnectionParams,
}

/// How connections are spoken with.
#[derive(Debug, Clone, Default)]
pub struct ConnectionParams {
    /// HTTP/1.0 and 1.1.
    pub http1: Http1Params,
    /// HTTP/2 with prior knowledge.
    pub http2: Http2Params,
}

/// How HTTP/1 is spoken.
#[derive(Debug, Clone)]
pub struct Http1Params {
    /// How long a request's head may take to arrive; also how long a kept connection may be idle,
    /// because the wait for the next head is the same wait. Default: 30 seconds.
    pub header_read_timeout: Duration,
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
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            backlog: 1024,
            drain_timeout: Duration::from_secs(25),
            tls: None,
            connection: ConnectionParams::default(),
        }
    }
}

impl Default for Http1Params {
    fn default() -> Self {
        Self {
            header_read_timeout: Duration::from_secs(30),
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
