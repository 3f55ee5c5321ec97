//! Connections that are counted, can be closed from outside, and have a write timeout. Each is read before a
//! request is sent: data that came before answers no request.

use std::future::Future;
use std::io::{self, Read as _};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use headwater_core::{BodyError, ReadTurn};
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{CaptureConnection, Connected, Connection as Connect};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::EgressError;
use crate::connection::{Connection, Lease};
use crate::connections::Connections;
use crate::connector::{Connector, Link};
use crate::interim::HeadersBudget;
use crate::stopwatch::{Late, Stopwatch};
use crate::transport::Transport;
use crate::waiters::Server;

/// A connector that counts its connections.
#[derive(Clone)]
pub(crate) struct Tracked {
    pub(crate) connector: Connector,
    pub(crate) connections: Arc<Connections>,
    /// See [`Timeouts::write`](crate::Timeouts::write).
    pub(crate) write: Duration,
    /// True if HTTP/2 is spoken without TLS.
    pub(crate) h2c: bool,
}

/// A connection that is counted until it is dropped.
#[derive(Debug)]
pub(crate) struct TrackedStream {
    transport: Transport,
    /// See [`Link::absolute_form`].
    absolute_form: bool,
    connections: Arc<Connections>,
    connection: Arc<Connection>,
    id: u64,
    /// For an upstream that speaks HTTP/2.
    headers: Option<HeadersBudget>,
    turn: ReadTurn,
    /// See [`Connection::handed`].
    handed: u64,
    write: Duration,
    /// Runs while the upstream does not read what is to be written.
    blocked: Option<Stopwatch>,
}

tokio::task_local! {
    /// The request that is being polled: the client gives its connector only the destination.
    pub(crate) static ASKING: CaptureConnection;
}

/// Returns the current request, for noticing that it is given another connection. `None` if there is no
/// request, or if it had a connection already and was given back: then it needs the new one.
fn asking() -> Option<CaptureConnection> {
    let asking = ASKING.try_with(CaptureConnection::clone).ok()?;
    let has_one = asking.connection_metadata().is_some();
    (!has_one).then_some(asking)
}

// === impl Tracked ===

impl Service<Uri> for Tracked {
    type Response = TokioIo<TrackedStream>;
    type Error = BodyError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BodyError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BodyError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let Self {
            connector,
            connections,
            write,
            h2c,
        } = self.clone();
        let server = server(&destination);
        let given = asking();
        Box::pin(async move {
            let place = connections.place(server.clone(), given).await?;
            let Link {
                transport,
                info,
                absolute_form,
            } = connector.connect(destination).await?;
            let headers = (h2c || transport.speaks_h2()).then(HeadersBudget::default);
            let (id, connection) = connections.insert(server, info, place);
            Ok(TokioIo::new(TrackedStream {
                transport,
                absolute_form,
                connections,
                connection,
                id,
                headers,
                turn: ReadTurn::default(),
                handed: 0,
                write,
                blocked: None,
            }))
        })
    }
}

/// Returns host and port for the metrics: addresses without brackets, and the scheme's port if there is none.
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
    /// Reads what is there before a request is taken, as hyper does each time: on an idle HTTP/1 connection
    /// any data is unasked for, and hyper closes it and hands the request back. Reading through tokio is not
    /// enough: it sees data that came while the thread was busy only after the request was sent, and that
    /// data would become the answer. Returns `None` if nothing is there, or if no request can have been given
    /// since.
    ///
    /// Data that arrives while the request is sent cannot be told from its answer, because HTTP/1 does not
    /// number them.
    fn read_unasked(&mut self, buf: &mut ReadBuf<'_>) -> Option<io::Result<()>> {
        let handed = self.connection.handed();
        if std::mem::replace(&mut self.handed, handed) == handed {
            return None;
        }
        let mut bytes = [0; 256];
        let room = bytes.len().min(buf.remaining());
        match self.transport.read(&mut bytes[..room]) {
            Ok(read) => {
                buf.put_slice(&bytes[..read]);
                Some(Ok(()))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
            Err(error) => Some(Err(error)),
        }
    }

    /// Gives HTTP/2 upstreams the header budget of the requests that they were given.
    fn count_headers(&mut self) {
        let handed = self.connection.handed();
        if let Some(headers) = &mut self.headers
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
        let connected = Connected::new()
            .proxy(self.absolute_form)
            .extra(Lease::new(&self.connection));
        match self.transport.speaks_h2() {
            true => connected.negotiated_h2(),
            false => connected,
        }
    }
}

impl AsyncRead for TrackedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.connection.is_at_end(cx) {
            // Looks as if the upstream had closed it, which does no harm if it is unused.
            return Poll::Ready(Ok(()));
        }
        let over_h2 = self.headers.is_some();
        if over_h2 {
            self.count_headers();
        }
        // Checked before any read, or an upstream that sends without end would be read without end.
        if let Some(failure) = self.connection.failure() {
            return Poll::Ready(Err(io::Error::other(failure.clone())));
        }
        if !over_h2 && let Some(read) = self.read_unasked(buf) {
            return Poll::Ready(read);
        }
        ready!(self.turn.poll(cx));
        let before = buf.filled().len();
        let read = Pin::new(&mut self.transport).poll_read(cx, buf);
        let bytes = &buf.filled()[before..];
        self.turn.read(&read, bytes.len());
        if let Some(headers) = &mut self.headers {
            headers.count(bytes);
        }
        read
    }
}

impl AsyncWrite for TrackedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.transport).poll_flush(cx);
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.transport).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

impl Drop for TrackedStream {
    fn drop(&mut self) {
        self.connection.closed();
        self.connections.remove(self.id);
    }
}
