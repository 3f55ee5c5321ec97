//! A response body that reports the end of its link.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_core::fields::{DeclaredLength, declared_length};
use headwater_core::{Body, BodyError, Fault, PolledFrame};
use http::{Method, Response, StatusCode};
use http_body::{Body as _, SizeHint};
use http_body_util::BodyExt;

use crate::run::LinkGuard;

/// Ends the link's scope and span with the last byte, or cancels the link when nobody waits for more.
pub(crate) struct LinkBody {
    inner: Body,
    /// None once the end is recorded.
    guard: Option<LinkGuard>,
    /// Bytes still to come, if known: a sender may drop the body at its last byte.
    remaining: Option<u64>,
}

/// Returns true if nobody reads the response's body, whatever it is (RFC 9110 6.4.1).
pub(crate) fn is_bodiless(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

// === impl LinkBody ===

impl LinkBody {
    pub(crate) fn wrap(
        response: Response<Body>,
        method: &Method,
        guard: LinkGuard,
    ) -> Response<Body> {
        let declared = match declared_length(response.headers()) {
            DeclaredLength::Exactly(length) => Some(length),
            DeclaredLength::None | DeclaredLength::Invalid => None,
        };
        let bodiless = is_bodiless(method, response.status());
        response.map(|inner| {
            let known = declared.or_else(|| inner.size_hint().exact());
            let mut body = Self {
                remaining: if bodiless { Some(0) } else { known },
                inner,
                guard: Some(guard),
            };
            if body.inner.is_end_stream() {
                body.end();
            }
            body.boxed_unsync()
        })
    }

    fn end(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            guard.end();
        }
    }
}

impl http_body::Body for LinkBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let (Some(data), Some(remaining)) = (frame.data_ref(), &mut self.remaining) {
                    *remaining = remaining.saturating_sub(data.len() as u64);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let Some(mut guard) = self.guard.take() else {
                    return Poll::Ready(Some(Err(error)));
                };
                let fault = guard.cut(Fault::cut(&*error));
                Poll::Ready(Some(Err(fault.into())))
            }
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for LinkBody {
    fn drop(&mut self) {
        if self.remaining == Some(0) || self.inner.is_end_stream() {
            self.end();
        }
    }
}
