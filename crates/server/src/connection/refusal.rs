//! Refuses connections beyond the limits.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::connection::socket::Socket;

#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    Full,
    /// The client has as many connections as it may have. That is a client error, so a 4xx (RFC 6585 4).
    ClientFull,
}

/// The number of refused clients that are waited for at once. To close before a client has sent its request
/// makes the kernel reset the connection, and the client may lose the answer (RFC 9112 9.6); clients beyond
/// this number risk that.
const AT_ONCE: usize = 256;

/// How long to wait for a refused client.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(crate) struct Refusals(JoinSet<()>);

// === impl Refusals ===

impl Refusals {
    /// Answers the client in plain text. Over TLS it only closes: an answer would cost as much as serving.
    pub(crate) fn refuse(&mut self, stream: Socket, is_tls: bool, why: Refusal) {
        while self.0.try_join_next().is_some() {}
        if is_tls || self.0.len() >= AT_ONCE {
            return;
        }
        self.0.spawn(why.tell(stream));
    }
}

// === impl Refusal ===

impl Refusal {
    fn answer(self) -> &'static [u8] {
        match self {
            Self::Full => {
                b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 1\r\n\
                  content-type: text/plain; charset=utf-8\r\ncontent-length: 34\r\n\r\n\
                  there are too many connections now"
            }
            Self::ClientFull => {
                b"HTTP/1.1 429 Too Many Requests\r\nconnection: close\r\nretry-after: 1\r\n\
                  content-type: text/plain; charset=utf-8\r\ncontent-length: 36\r\n\r\n\
                  the client has too many connections\n"
            }
        }
    }

    /// Sends the answer, and gives the client time to read it.
    pub(crate) async fn tell(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let _ = tokio::time::timeout(FAREWELL, farewell(stream, self.answer())).await;
    }
}

async fn farewell(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
    // An error here means that the client has gone.
    if stream.write_all(answer).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut waste = [0; 1024];
    while stream.read(&mut waste).await.is_ok_and(|read| read > 0) {}
}
