//! The response's body on its way to the connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_core::{Body, BodyError, Fault};
use http::{Method, StatusCode};
use http_body::{Body as _, Frame, SizeHint};

use crate::answer::log;
use crate::exchange::Exchange;

/// Counts what is sent and settles the [`Exchange`] when the last byte was, or never will be.
///
/// An error of the inner body stays one, and hyper then aborts the connection (HTTP/1) or resets the
/// stream (HTTP/2).
pub(crate) struct ResponseBody {
    inner: Body,
    // `None` once settled.
    exchange: Option<Exchange>,
    // Bytes still to come, where that is known: hyper drops a body of known length at its last byte
    // without asking whether more follows.
    remaining: Option<u64>,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// `length` is the response's `content-length`, if it has one.
    pub(crate) fn new(inner: Body, exchange: Exchange, length: Option<u64>) -> Self {
        Self {
            remaining: length.or_else(|| inner.size_hint().exact()),
            inner,
            exchange: Some(exchange),
        }
    }

    /// The response has no body on the wire, whatever the handler gave (RFC 9110 6.4.1).
    pub(crate) fn is_forbidden(method: &Method, status: StatusCode) -> bool {
        *method == Method::HEAD
            || status.is_informational()
            || status == StatusCode::NO_CONTENT
            || status == StatusCode::NOT_MODIFIED
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let next = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &next {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(exchange) = &self.exchange {
                        exchange.sent(data.len());
                    }
                    self.remaining = self
                        .remaining
                        .map(|remaining| remaining.saturating_sub(data.len() as u64));
                }
            }
            Some(Err(error)) => {
                if let Some(mut exchange) = self.exchange.take() {
                    let fault =
                        Fault::bad_response("the response was cut").caused_by(error.to_string());
                    log(&fault, exchange.scope());
                    exchange.failed(&fault);
                }
            }
            None => self.exchange = None,
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(exchange) = &mut self.exchange
            && self.remaining != Some(0)
            && !self.inner.is_end_stream()
        {
            exchange.abandoned();
        }
    }
}
