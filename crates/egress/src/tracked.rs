//! Connections that are counted, may be closed from outside, do not wait for ever to be written, and are
//! looked at before a request is sent: what came on them by then is the answer to none.

use std::future::Future;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use headwater_core::BodyError;
use http::Uri;
use http::uri::Scheme;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection as Connect};
use hyper_util::rt::TokioIo;
use tower_service::Service;

use crate::EgressError;
use crate::client::asking;
use crate::connection::{Connection, Lease, Server};
use crate::connections::{Connections, Wanted};
use crate::connector::Connector;
use crate::interim::HeadersBudget;
use crate::stopwatch::{Late, Stopwatch};
use crate::transport::Link;

/// A connector whose connections are counted.
#[derive(Clone)]
pub(crate) struct Tracked {
    connector: Connector,
    connections: Arc<Connections>,
    /// See [`Timeouts::write`](crate::Timeouts::write).
    write: Duration,
    /// Whether HTTP/2 is spoken without TLS.
    h2c: bool,
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct TrackedStream {
    stream: TokioIo<Link>,
    connection: Arc<Connection>,
    id: u64,
    /// See [`Connection::handed`].
    handed: u64,
    write: Duration,
    /// Runs while something is to be written that the upstream does not take.
    blocked: Option<Stopwatch>,
}

// === impl Tracked ===

impl Tracked {
    pub(crate) fn new(
        connector: Connector,
        connections: &Arc<Connections>,
        write: Duration,
    ) -> Self {
        Self {
            connector,
            connections: Arc::clone(connections),
            write,
            h2c: false,
        }
    }

    /// The same for upstreams that speak HTTP/2 without TLS.
    pub(crate) fn over_h2c(mut self) -> Self {
        self.h2c = true;
        self
    }
}

impl Service<Uri> for Tracked {
    type Response = TrackedStream;
    type Error = BodyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BodyError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        self.connector.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        // The one that is ready.
        let spare = self.connector.clone();
        let mut connector = std::mem::replace(&mut self.connector, spare);
        let connections = Arc::clone(&self.connections);
        let (write, h2c) = (self.write, self.h2c);
        let server = server(&destination);
        let wanted = Wanted {
            server: server.clone(),
            given: asking(),
        };
        Box::pin(async move {
            let place = connections.place(wanted).await?;
            let mut stream = connector.call(destination).await?;
            let link = stream.inner_mut();
            link.headers = (h2c || link.speaks_h2()).then(HeadersBudget::default);
            let connection =
                Connection::new(&connections, server, stream.inner().info.clone(), place);
            let id = connections.insert(&connection);
            Ok(TrackedStream {
                stream,
                connection,
                id,
                handed: 0,
                write,
                blocked: None,
            })
        })
    }
}

/// Host and port, for the metrics; an address without brackets, the port that of the scheme if there
/// is none.
fn server(destination: &Uri) -> Server {
    let host = destination.host().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = destination.port_u16().unwrap_or_else(|| {
        let tls = destination.scheme() == Some(&Scheme::HTTPS);
        if tls { 443 } else { 80 }
    });
    (host.into(), port)
}

// === impl TrackedStream ===

impl TrackedStream {
    /// Reads what is there before a request is taken, as hyper does for it each time: on an idle HTTP/1
    /// connection whatever comes is unasked for, and hyper closes it and hands the request back. tokio alone
    /// would not do: what came while the thread was busy it sees only after the request was sent, and then
    /// it would be the answer. `None` if nothing is there, or if no request may have been given since.
    ///
    /// What is on its way while the request is sent cannot be told from its answer: HTTP/1 has no name for
    /// either.
    fn read_unasked(&mut self, buf: &mut ReadBufCursor<'_>) -> Option<io::Result<()>> {
        let handed = self.connection.handed();
        if std::mem::replace(&mut self.handed, handed) == handed {
            return None;
        }
        let mut bytes = [0; 256];
        let room = bytes.len().min(buf.remaining());
        match self.stream.inner_mut().transport.read(&mut bytes[..room]) {
            Ok(read) => {
                buf.put_slice(&bytes[..read]);
                Some(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Lets HTTP/2 upstreams send headers for the requests that they were given, and no more.
    fn count_headers(&mut self) {
        let handed = self.connection.handed();
        if let Some(headers) = &mut self.stream.inner_mut().headers
            && !headers.suffice_for(handed)
        {
            self.connection.fail(EgressError::InterimResponses);
        }
    }

    /// Fails a write that has been pending for too long.
    fn watch<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.blocked = None;
            return written;
        }
        let write = self.write;
        let blocked = self.blocked.get_or_insert_with(|| {
            let mut stopwatch = Stopwatch::new(None);
            stopwatch.start(write, Late::Write);
            stopwatch
        });
        let late = ready!(blocked.poll(cx));
        Poll::Ready(Err(io::Error::other(EgressError::from(late))))
    }
}

impl Connect for TrackedStream {
    fn connected(&self) -> Connected {
        let inner = self.stream.connected();
        // Not what else was attached: it would be cloned for each request.
        let connected = Connected::new()
            .proxy(inner.is_proxied())
            .extra(Lease::new(&self.connection));
        if inner.is_negotiated_h2() {
            connected.negotiated_h2()
        } else {
            connected
        }
    }
}

impl Read for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_at_end(cx) {
            // As if the upstream had closed it: that ends it without harm if nobody uses it.
            return Poll::Ready(Ok(()));
        }
        let over_h2 = self.stream.inner().headers.is_some();
        if over_h2 {
            self.count_headers();
        }
        // Before anything is read, or an upstream that sends without end is read without end.
        if let Some(failure) = self.connection.failure() {
            return Poll::Ready(Err(io::Error::other(failure.clone())));
        }
        if !over_h2 && let Some(read) = self.read_unasked(&mut buf) {
            return Poll::Ready(read);
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl Write for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

impl Drop for TrackedStream {
    fn drop(&mut self) {
        self.connection.closed();
        self.connection.of().remove(self.id);
    }
}
