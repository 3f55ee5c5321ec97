//! What is spoken on a connection: nothing, HTTP/1 or HTTP/2.
//!
//! hyper keeps its buffers, 8 KiB each way, for as long as a connection lives, and ten thousand
//! clients that keep theirs open would have some hundreds of MiB of them. So a connection of HTTP/1
//! that has nothing to say is taken from hyper, and given back with the next byte that comes.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::codec::Codec;
use crate::pulse::{Pulse, Version};
use crate::service::Service;
use crate::streams::Streams;
use crate::watched::Watched;

/// What is read at first, in bytes: few heads are longer, and what is left, hyper reads.
const FIRST: usize = 1024;

/// What a connection can run on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

/// A connection, whatever is spoken on it. Ends with the connection.
pub(crate) struct Conversation<S: Stream> {
    codec: Arc<Codec>,
    pulse: Arc<Pulse>,
    state: State<S>,
}

/// The codecs are boxed, so that a connection at rest is small.
enum State<S: Stream> {
    Rest(Rest<S>),
    Http1(Box<http1::Connection<TokioIo<Watched<S>>, Service>>),
    Http2(Box<http2::Connection<TokioIo<Watched<S>>, Service, Streams>>),
    /// All is said.
    Closing(Watched<S>),
    Closed,
}

/// Nothing is said, or not enough to know in which version.
struct Rest<S> {
    stream: Watched<S>,
    service: Service,
    begun: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

// === impl Conversation ===

impl<S: Stream> Conversation<S> {
    pub(crate) fn new(
        codec: Arc<Codec>,
        pulse: Arc<Pulse>,
        stream: Watched<S>,
        service: Service,
    ) -> Self {
        Self {
            codec,
            pulse,
            state: State::Rest(Rest {
                stream,
                service,
                begun: Vec::new(),
            }),
        }
    }

    /// Finishes what was begun, and begins nothing new.
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

    /// Whether there is a codec that can be put away while nothing is said. Not that of HTTP/2, which
    /// is more than its requests.
    pub(crate) fn can_rest(&self) -> bool {
        matches!(self.state, State::Http1(_))
    }

    /// Puts the codec away, unless there is something that it still has to do. To be called right after
    /// a poll, when all that hyper was given to send is sent.
    pub(crate) fn rest(&mut self) {
        if self.pulse.is_busy() || self.pulse.is_expecting() || self.pulse.is_stalled() {
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
                    // The beginning of a request that came together with the one before.
                    false => {
                        self.pulse.received();
                        self.begin(stream, service, read_buf)
                    }
                };
            }
            other => self.state = other,
        }
    }

    fn begin(&self, mut stream: Watched<S>, service: Service, begun: Bytes) -> State<S> {
        stream.put_back(begun);
        let io = TokioIo::new(stream);
        match self.pulse.version() {
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

impl<S: Stream> Future for Conversation<S> {
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
                    this.state = match (more, this.pulse.version()) {
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
    /// Reads more; says whether there was any.
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
    use std::sync::OnceLock;

    use http::uri::{Authority, Scheme};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    use super::*;
    use crate::codec::codec;
    use crate::peer::Peer;
    use crate::service::Parts;
    use crate::target::Origin;
    use crate::testing::{LONG, answer_with, route};
    use crate::{ConnectionParams, Front, FrontParams, Router};

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x.example\r\n\r\n";

    /// A conversation and its client. What the client has not taken of so many bytes holds it up.
    fn conversation(room: usize, text: &'static str) -> (Conversation<DuplexStream>, DuplexStream) {
        let (client, stream) = tokio::io::duplex(room);
        let pulse = Pulse::new();
        let router = Router::new([route("/...", answer_with(text))]).unwrap();
        let service = Service::new(Parts {
            front: Front::new(FrontParams::default(), router),
            peer: Peer {
                client: None,
                share: None,
                local: None,
                origin: Origin {
                    scheme: Scheme::HTTP,
                    authority: Authority::from_static("x.example"),
                    asked: OnceLock::new(),
                },
                certificate: None,
                introduction: OnceLock::new(),
                names: OnceLock::new(),
            },
            pulse: Arc::clone(&pulse),
        });
        let codec = Arc::new(codec(&ConnectionParams::default()));
        let stream = Watched::new(stream, Arc::clone(&pulse), LONG);
        (Conversation::new(codec, pulse, stream, service), client)
    }

    /// Polls once: afterwards nothing is left to do that needs no client.
    async fn turn(conversation: &mut Conversation<DuplexStream>) {
        poll_fn(|cx| {
            assert!(Pin::new(&mut *conversation).poll(cx).is_pending());
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
        let (mut conversation, mut client) = conversation(64 << 10, "here");
        for _ in 0..3 {
            turn(&mut conversation).await;
            assert!(!conversation.can_rest());
            client.write_all(REQUEST).await.unwrap();
            turn(&mut conversation).await;
            let answer = read(&mut client).await;
            assert!(
                answer.starts_with("HTTP/1.1 200") && answer.ends_with("here"),
                "{answer}"
            );
            assert!(conversation.can_rest());
            conversation.rest();
            assert!(!conversation.can_rest());
        }
        drop(client);
        assert!(conversation.await.is_ok());
    }

    #[tokio::test]
    async fn a_request_that_has_begun_is_not_lost_when_the_codec_would_be_put_away() {
        let (mut conversation, mut client) = conversation(64 << 10, "here");
        let (begin, end) = REQUEST.split_at(7);
        client.write_all(&[REQUEST, begin].concat()).await.unwrap();
        turn(&mut conversation).await;
        assert!(read(&mut client).await.ends_with("here"));
        conversation.rest();
        // Its head's time runs.
        assert!(conversation.can_rest() && conversation.pulse.is_expecting());
        turn(&mut conversation).await;
        conversation.rest();
        assert!(conversation.can_rest());
        client.write_all(end).await.unwrap();
        turn(&mut conversation).await;
        assert!(read(&mut client).await.ends_with("here"));
    }

    #[tokio::test]
    async fn an_answer_that_the_client_has_not_taken_is_not_lost() {
        let (mut conversation, mut client) = conversation(100, "there and back again");
        client.write_all(REQUEST).await.unwrap();
        turn(&mut conversation).await;
        // It is all in hyper's hands, and the pipe is full.
        assert!(!conversation.pulse.is_busy() && conversation.pulse.is_stalled());
        let mut answer = String::new();
        while conversation.pulse.is_stalled() {
            conversation.rest();
            assert!(conversation.can_rest());
            answer += &read(&mut client).await;
            turn(&mut conversation).await;
        }
        answer += &read(&mut client).await;
        assert!(answer.ends_with("there and back again"), "{answer}");
        conversation.rest();
        assert!(!conversation.can_rest());
    }

    #[tokio::test]
    async fn what_could_still_become_http_2_is_waited_for() {
        let (mut conversation, mut client) = conversation(64 << 10, "here");
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            turn(&mut conversation).await;
            assert!(matches!(conversation.state, State::Rest(_)));
            client.write_all(&[*byte]).await.unwrap();
        }
        turn(&mut conversation).await;
        assert!(matches!(conversation.state, State::Http2(_)));
        let (mut conversation, mut client) = self::conversation(64 << 10, "here");
        for part in REQUEST.chunks(1) {
            client.write_all(part).await.unwrap();
            turn(&mut conversation).await;
        }
        assert!(read(&mut client).await.ends_with("here"));
    }

    #[tokio::test]
    async fn a_connection_at_rest_ends_at_once_when_it_is_told_to() {
        let (mut conversation, mut client) = conversation(64 << 10, "here");
        turn(&mut conversation).await;
        conversation.shut_down();
        assert!(conversation.await.is_ok());
        assert_eq!(read(&mut client).await, "");
    }
}
