//! A connection that speaks nothing yet, HTTP/1 or HTTP/2.
//!
//! hyper keeps its buffers, 8 KiB each way, as long as a connection lives: some hundreds of MiB for ten
//! thousand idle clients. So an idle HTTP/1 connection is taken from hyper, and given back with its next
//! byte (`docs/decisions/0008-idle-connections.md`).

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::codec::Codec;
use crate::connection::h2_streams::Streams;
use crate::connection::service::Service;
use crate::connection::state::{ConnectionState, Version};
use crate::connection::timed_io::TimedIo;

/// The size of the first read, in bytes. Few heads are longer; hyper reads the rest.
const FIRST: usize = 1024;

pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

pub(crate) struct HttpConnection<S: Stream> {
    codec: Arc<Codec>,
    connection_state: Arc<ConnectionState>,
    state: State<S>,
}

/// The codecs are boxed, so that an idle connection is small.
enum State<S: Stream> {
    Rest(Rest<S>),
    Http1(Box<http1::Connection<TokioIo<TimedIo<S>>, Service>>),
    Http2(Box<http2::Connection<TokioIo<TimedIo<S>>, Service, Streams>>),
    /// The exchange is over, and the stream is being shut down.
    Closing(TimedIo<S>),
    Closed,
}

/// A connection without bytes, or without enough to know the HTTP version.
struct Rest<S> {
    stream: TimedIo<S>,
    service: Service,
    begun: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

// === impl HttpConnection ===

impl<S: Stream> HttpConnection<S> {
    pub(crate) fn new(
        codec: Arc<Codec>,
        connection_state: Arc<ConnectionState>,
        stream: TimedIo<S>,
        service: Service,
    ) -> Self {
        Self {
            codec,
            connection_state,
            state: State::Rest(Rest {
                stream,
                service,
                begun: Vec::new(),
            }),
        }
    }

    /// Finishes the current requests, and begins no new ones.
    pub(crate) fn shut_down(&mut self) {
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Rest(rest) => self.state = State::Closing(rest.stream),
            State::Http1(mut connection) => {
                Pin::new(&mut *connection).graceful_shutdown();
                self.state = State::Http1(connection);
            }
            State::Http2(mut connection) => {
                Pin::new(&mut *connection).graceful_shutdown();
                self.state = State::Http2(connection);
            }
            ending => self.state = ending,
        }
    }

    /// Returns true if there is a codec that can be put away. HTTP/2's holds state beyond its requests.
    pub(crate) fn can_rest(&self) -> bool {
        matches!(self.state, State::Http1(_))
    }

    /// Puts the codec away, if it has no work. Call this right after a poll, when hyper has sent all its data.
    pub(crate) fn rest(&mut self) {
        if self.connection_state.is_busy()
            || self.connection_state.is_expecting()
            || self.connection_state.is_stalled()
        {
            return;
        }
        match std::mem::replace(&mut self.state, State::Closed) {
            State::Http1(connection) => {
                let http1::Parts {
                    io,
                    read_buf,
                    service,
                    ..
                } = connection.into_parts();
                let stream = io.into_inner();
                self.state = match read_buf.is_empty() {
                    true => State::Rest(Rest {
                        stream,
                        service,
                        begun: Vec::new(),
                    }),
                    // The beginning of a request that came together with the previous one.
                    false => {
                        self.connection_state.received();
                        self.begin(stream, service, read_buf)
                    }
                };
            }
            other => self.state = other,
        }
    }

    fn begin(&self, mut stream: TimedIo<S>, service: Service, begun: Bytes) -> State<S> {
        stream.put_back(begun);
        let io = TokioIo::new(stream);
        match self.connection_state.version() {
            Version::Http2 => {
                let connection = self.codec.http2.serve_connection(io, service);
                State::Http2(Box::new(connection))
            }
            Version::Http1 | Version::Unknown => {
                let connection = self.codec.http1.serve_connection(io, service);
                State::Http1(Box::new(connection))
            }
        }
    }
}

impl<S: Stream> Future for HttpConnection<S> {
    type Output = Result<(), Box<dyn Error + Send + Sync>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Rest(rest) => {
                    let more = ready!(rest.poll_read(cx))?;
                    let State::Rest(rest) = std::mem::replace(&mut this.state, State::Closed)
                    else {
                        continue;
                    };
                    this.state = match (more, this.connection_state.version()) {
                        (false, _) => State::Closing(rest.stream),
                        (true, Version::Unknown) => State::Rest(rest),
                        (true, _) => this.begin(rest.stream, rest.service, rest.begun.into()),
                    };
                }
                State::Http1(connection) => {
                    return Pin::new(&mut **connection).poll(cx).map_err(Into::into);
                }
                State::Http2(connection) => {
                    return Pin::new(&mut **connection).poll(cx).map_err(Into::into);
                }
                State::Closing(stream) => {
                    ready!(Pin::new(stream).poll_shutdown(cx))?;
                    this.state = State::Closed;
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
        }
    }
}

// === impl Rest ===

impl<S: Stream> Rest<S> {
    /// Reads more; returns false at the end of the stream.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<bool>> {
        let mut space = [0; FIRST];
        let mut buf = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf))?;
        self.begun.extend_from_slice(buf.filled());
        Poll::Ready(Ok(!buf.filled().is_empty()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http::uri::{Authority, Scheme};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::connection::codec::codec;
    use crate::connection::service::Parts;
    use crate::pipeline::peer::Peer;
    use crate::request::target::Origin;
    use crate::testing::{LONG, answer_with, route};
    use crate::{ConnectionParams, Front, FrontParams, Router};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x.example\r\n\r\n";

    /// Returns a connection and its client. The pipe holds `room` bytes, and then blocks the connection.
    fn http(room: usize, text: &'static str) -> (HttpConnection<DuplexStream>, DuplexStream) {
        let (client, stream) = tokio::io::duplex(room);
        let connection_state = ConnectionState::new();
        let router = Router::new([route("/...", answer_with(text))]).unwrap();
        let service = Service(Arc::new(Parts {
            front: Front::new(FrontParams::default(), router),
            peer: Peer::new(
                None,
                None,
                Origin::new(Scheme::HTTP, Authority::from_static("x.example")),
            ),
            state: Arc::clone(&connection_state),
        }));
        let codec = Arc::new(codec(&ConnectionParams::default()));
        let stream = TimedIo::new(stream, Arc::clone(&connection_state), LONG);
        (
            HttpConnection::new(codec, connection_state, stream, service),
            client,
        )
    }

    /// Polls once; what remains then waits for the client.
    async fn turn(http: &mut HttpConnection<DuplexStream>) {
        poll_fn(|cx| {
            assert!(Pin::new(&mut *http).poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
    }

    async fn read(client: &mut DuplexStream) -> String {
        let mut bytes = [0; 64 << 10];
        let length = client.read(&mut bytes).await.unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_codec_that_was_put_away_comes_back_with_the_next_request() {
        let (mut http, mut client) = http(64 << 10, "here");
        for _ in 0..3 {
            turn(&mut http).await;
            assert!(!http.can_rest());
            client.write_all(REQUEST).await.unwrap();
            turn(&mut http).await;
            let answer = read(&mut client).await;
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
                "{answer}"
            );
            assert!(http.can_rest());
            http.rest();
            assert!(!http.can_rest());
        }
        drop(client);
        assert!(http.await.is_ok());
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_not_lost_when_the_codec_would_be_put_away() {
        let (mut http, mut client) = http(64 << 10, "here");
        let (begin, end) = REQUEST.split_at(7);
        client.write_all(&[REQUEST, begin].concat()).await.unwrap();
        turn(&mut http).await;
        assert!(read(&mut client).await.ends_with("here"));
        http.rest();
        // The timeout of the head is running.
        assert!(http.can_rest() && http.connection_state.is_expecting());
        turn(&mut http).await;
        http.rest();
        assert!(http.can_rest());
        client.write_all(end).await.unwrap();
        turn(&mut http).await;
        assert!(read(&mut client).await.ends_with("here"));
    }

    #[tokio::test]
    async fn an_answer_that_the_client_has_not_taken_is_not_lost() {
        let (mut http, mut client) = http(100, "there and back again");
        client.write_all(REQUEST).await.unwrap();
        turn(&mut http).await;
        // hyper has everything, and the pipe is full.
        assert!(!http.connection_state.is_busy() && http.connection_state.is_stalled());
        let mut answer = String::new();
        while http.connection_state.is_stalled() {
            http.rest();
            assert!(http.can_rest());
            answer += &read(&mut client).await;
            turn(&mut http).await;
        }
        answer += &read(&mut client).await;
        assert!(answer.ends_with("there and back again"), "{answer}");
        http.rest();
        assert!(!http.can_rest());
    }

    #[tokio::test]
    async fn what_could_still_become_http_2_is_waited_for() {
        let (mut http, mut client) = http(64 << 10, "here");
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            turn(&mut http).await;
            assert!(matches!(http.state, State::Rest(_)));
            client.write_all(&[*byte]).await.unwrap();
        }
        turn(&mut http).await;
        assert!(matches!(http.state, State::Http2(_)));
        let (mut http, mut client) = self::http(64 << 10, "here");
        for part in REQUEST.chunks(1) {
            client.write_all(part).await.unwrap();
            turn(&mut http).await;
        }
        assert!(read(&mut client).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_connection_at_rest_ends_at_once_when_it_is_told_to() {
        let (mut http, mut client) = http(64 << 10, "here");
        turn(&mut http).await;
        http.shut_down();
        assert!(http.await.is_ok());
        assert_eq!(read(&mut client).await, "");
    }
}
