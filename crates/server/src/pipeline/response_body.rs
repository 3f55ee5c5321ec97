//! A response body that reports the end of its request.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_core::{Body, BodyError, Fault, PolledFrame};
use http::{Method, StatusCode};
use http_body::{Body as _, SizeHint};

use crate::pipeline::request_guard::RequestGuard;
use crate::request::body_wait::Wait;
use crate::response::answer::log;

/// Counts the bytes sent, and settles the [`RequestGuard`] after the last one, or when no more can come.
///
/// Passes on an error of the inner body, and hyper aborts the connection (HTTP/1) or resets the stream
/// (HTTP/2). An end before the declared length is an error, too.
pub(crate) struct ResponseBody {
    inner: Body,
    // `None` once settled.
    guard: Option<RequestGuard>,
    // Bytes still to come, if known: hyper drops such a body at its last byte without polling for the end.
    remaining: Option<u64>,
    // An error to pass on at the next poll.
    cut: Option<BodyError>,
}

// === impl ResponseBody ===

impl ResponseBody {
    /// `length` is the response's `content-length`, if it has one.
    pub(crate) fn new(inner: Body, guard: RequestGuard, length: Option<u64>) -> Self {
        Self {
            remaining: length.or_else(|| inner.size_hint().exact()),
            inner,
            guard: Some(guard),
            cut: None,
        }
    }

    /// Settles the request as failed, and passes the error on at the next poll. hyper discards unwritten data
    /// when a body fails, so it gets the chance to write first: the client then has the head, with the
    /// request's id, and all that the service sent so far.
    fn cut(&mut self, error: BodyError, cx: &mut Context<'_>) {
        if let Some(mut guard) = self.guard.take() {
            // A service that passes its request body on fails because that body failed.
            let fault = match guard.wait().and_then(Wait::trouble) {
                Some(trouble) => trouble.fault(),
                None => Fault::cut(&*error),
            };
            log(&fault, guard.scope(), 0);
            guard.cut(&fault);
        }
        self.cut = Some(error);
        cx.waker().wake_by_ref();
    }

    /// Returns true if the response has no body on the wire, whatever the handler gave (RFC 9110 6.4.1).
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

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        if let Some(error) = self.cut.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    if let Some(guard) = &self.guard {
                        guard.sent(data.len());
                    }
                    self.remaining = self
                        .remaining
                        .map(|remaining| remaining.saturating_sub(data.len() as u64));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                self.cut(error, cx);
                Poll::Pending
            }
            None if self.guard.is_some() && self.remaining.is_some_and(|bytes| bytes > 0) => {
                self.cut("the body is shorter than its content-length".into(), cx);
                Poll::Pending
            }
            None => {
                self.guard = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.cut.is_none() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.guard
            && self.remaining != Some(0)
            && !self.inner.is_end_stream()
        {
            guard.abandoned();
        }
    }
}
