//! Connections that are counted, may be closed from outside, and do not wait for ever to be written.

use std::future::Future;
use std::io;
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
use crate::connection::{Connection, Lease};
use crate::connections::Connections;
use crate::connector::Connector;
use crate::stopwatch::{Late, Stopwatch};
use crate::transport::Link;

/// A connector whose connections are counted.
#[derive(Clone)]
pub(crate) struct Tracked {
    connector: Connector,
    connections: Arc<Connections>,
    /// See [`Timeouts::write`](crate::Timeouts::write).
    write: Duration,
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct TrackedStream {
    stream: TokioIo<Link>,
    connection: Arc<Connection>,
    id: u64,
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
        }
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
        let write = self.write;
        let server = server(&destination);
        Box::pin(async move {
            let place = connections.place().await?;
            let stream = connector.call(destination).await?;
            let connection =
                Connection::new(&connections, server, stream.inner().info.clone(), place);
            let id = connections.insert(&connection);
            Ok(TrackedStream {
                stream,
                connection,
                id,
                write,
                blocked: None,
            })
        })
    }
}

/// Host and port, for the metrics; an address without brackets, the port that of the scheme if there
/// is none.
fn server(destination: &Uri) -> (Arc<str>, u16) {
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
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_at_end(cx) {
            // As if the upstream had closed it: that ends it without harm if nobody uses it.
            return Poll::Ready(Ok(()));
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
