//! A stream that records its reads and writes, and has a send timeout.

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

/// The first bytes of HTTP/2 (RFC 9113 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The answer when a request's head takes too long.
const TOO_SLOW: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 41\r\n\r\n\
    the request's head did not arrive in time";

/// A stream that records in [`ConnectionState`] what comes, and fails if the client reads nothing for too long.
pub(crate) struct TimedIo<S> {
    stream: S,
    state: Arc<ConnectionState>,
    /// Bytes that were read already and are to be read first.
    unread: Bytes,
    /// The number of bytes of [`PREFACE`] that have come.
    matched: usize,
    /// The rest of the answer for a head that takes too long.
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

    /// Puts bytes back that were read already, to be read first.
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
        // HTTP/2 sends frames of its own, such as PING, even to a client that reads nothing.
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
                        "the client read nothing for too long",
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
    /// Writes the answer for a late head. The client has read all before it, so this does not wait long.
    fn poll_farewell(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.requests() == 0 && self.state.version() == Version::Unknown {
            // Without even the beginning of a method, this may not be HTTP/1.
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
            // hyper takes this for the end of the stream, and closes without an answer.
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

    /// A client that sends faster than the server reads.
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
