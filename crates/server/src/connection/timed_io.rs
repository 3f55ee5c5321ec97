//! A connection's stream, with an eye on what comes and what goes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use headwater_core::ReadTurn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::connection::state::{ConnectionState, Version};
use crate::stall_timer::StallTimer;

/// How HTTP/2 begins (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client is told whose request's head takes too long.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 41\r\n\r\n\
    the request's head did not arrive in time";

/// A stream that tells its [`ConnectionState`] what comes, and that fails when the client takes nothing for too
/// long.
pub(crate) struct TimedIo<S> {
    stream: S,
    state: Arc<ConnectionState>,
    /// What was read already, and not by whom it is for.
    unread: Bytes,
    /// How much of [`PREFACE`] has come.
    matched: usize,
    /// What is left to say when the time for a head is over.
    farewell: &'static [u8],
    stall_timer: StallTimer,
    turn: ReadTurn,
}

// === impl TimedIo ===

impl<S> TimedIo<S> {
    pub(crate) fn new(stream: S, state: Arc<ConnectionState>, send_timeout: Duration) -> Self {
        Self {
            stream,
            state,
            unread: Bytes::new(),
            matched: 0,
            farewell: TOO_SLOW,
            stall_timer: StallTimer::new(send_timeout),
            turn: ReadTurn::default(),
        }
    }

    /// Lets these be read first, which have been read here already.
    pub(crate) fn put_back(&mut self, bytes: Bytes) {
        self.unread = bytes;
    }

    fn received(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.state.version() == Version::Unknown {
            let expected = &PREFACE[self.matched..];
            let compared = bytes.len().min(expected.len());
            if bytes[..compared] != expected[..compared] {
                self.state.set_version(Version::Http1);
            } else {
                self.matched += compared;
                if self.matched == PREFACE.len() {
                    self.state.set_version(Version::Http2);
                }
            }
        }
        self.state.received();
    }

    fn sent(&self, written: &Poll<io::Result<usize>>) {
        // HTTP/2 sends frames of its own, such as PING, also to a client that takes nothing.
        const OWN: usize = 64;
        if matches!(written, Poll::Ready(Ok(length)) if *length > OWN) {
            self.state.sent();
        }
    }

    fn settle<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        match written {
            Poll::Pending => {
                self.state.set_stalled(true);
                match self.stall_timer.poll(cx) {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(()) => Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "the client took nothing for too long",
                    ))),
                }
            }
            Poll::Ready(done) => {
                self.state.set_stalled(false);
                self.stall_timer.restore();
                Poll::Ready(done)
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> TimedIo<S> {
    /// Says what is left to say, as far as that goes without waiting for long: nothing was sent yet that
    /// the client has not taken.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.requests() == 0 && self.state.version() == Version::Unknown {
            // Not even the beginning of a method: whatever it is, it may not be HTTP/1.
            self.farewell = &[];
        }
        while !self.farewell.is_empty() {
            match Pin::new(&mut self.stream).poll_write(cx, self.farewell) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_) | Ok(0)) => self.farewell = &[],
                Poll::Ready(Ok(written)) => self.farewell = &self.farewell[written..],
            }
        }
        match Pin::new(&mut self.stream).poll_flush(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(_) => Poll::Ready(()),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TimedIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.state.is_expired() {
            // hyper takes this for the client's end, and ends the connection without an answer.
            return this.poll_farewell(cx).map(Ok);
        }
        if !this.unread.is_empty() {
            let length = this.unread.len().min(buf.remaining());
            buf.put_slice(&this.unread[..length]);
            this.unread.advance(length);
            if this.unread.is_empty() {
                this.unread = Bytes::new();
            }
            return Poll::Ready(Ok(()));
        }
        ready!(this.turn.poll(cx));
        let before = buf.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let bytes = &buf.filled()[before..];
        this.turn.read(&read, bytes.len());
        if let Poll::Ready(Ok(())) = read {
            this.received(bytes);
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TimedIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(cx, buf);
        this.sent(&written);
        this.settle(written, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(cx, bufs);
        this.sent(&written);
        this.settle(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(cx);
        this.settle(flushed, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let shut = Pin::new(&mut this.stream).poll_shutdown(cx);
        this.settle(shut, cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::testing::LONG;

    /// A client that sends faster than anybody reads.
    #[tokio::test]
    async fn others_have_their_turn_however_fast_a_client_sends() {
        let endless = tokio::io::join(tokio::io::repeat(b'0'), tokio::io::sink());
        let mut io = TimedIo::new(endless, ConnectionState::new(), LONG);
        let mut bytes = [0; 8192];
        poll_fn(|cx| {
            for _ in 0..100 {
                let mut buf = ReadBuf::new(&mut bytes);
                if Pin::new(&mut io).poll_read(cx, &mut buf).is_pending() {
                    return Poll::Ready(());
                }
            }
            panic!("it read {} bytes and kept the thread", 100 * 8192);
        })
        .await;
    }
}
