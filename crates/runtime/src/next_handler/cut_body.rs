//! The body of the next handler's response, while a middleware has it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{Body, Fault, RequestScope};
use http_body::{Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use wasmtime_wasi_http::Error;

use crate::outgoing_http::OutgoingPermit;

/// Ends with an error when the middleware's request is cancelled: nobody waits for what it makes of it.
pub(super) struct NextBody {
    /// None after the end or an error.
    body: Option<Body>,
    scope: Arc<RequestScope>,
    /// Made when the body first has to be waited for.
    cancelled: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    _permit: OutgoingPermit,
}

// === impl NextBody ===

impl NextBody {
    pub(super) fn new(body: Body, scope: Arc<RequestScope>, permit: OutgoingPermit) -> Self {
        Self {
            body: Some(body),
            scope,
            cancelled: None,
            _permit: permit,
        }
    }

    /// Returns true if the request is cancelled; if not, the task is woken when it is.
    fn is_cancelled(&mut self, cx: &mut Context<'_>) -> bool {
        if self.scope.is_over() && !self.scope.is_cancelled() {
            // The response is complete, and this is work after it.
            return false;
        }
        let scope = &self.scope;
        let cancelled = self
            .cancelled
            .get_or_insert_with(|| Box::pin(scope.cancelled().clone().cancelled_owned()));
        cancelled.as_mut().poll(cx).is_ready()
    }
}

impl http_body::Body for NextBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        match Pin::new(body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Some(Err(error))) => {
                this.body = None;
                let text = error.to_string();
                // The middleware's own response may be cut by it, and then reports it.
                if let Ok(fault) = error.downcast::<Fault>() {
                    this.scope.set_next_fault(*fault);
                }
                Poll::Ready(Some(Err(Error::InternalError(Some(text)))))
            }
            Poll::Ready(None) => {
                this.body = None;
                Poll::Ready(None)
            }
            Poll::Pending if this.is_cancelled(cx) => {
                this.body = None;
                Poll::Ready(Some(Err(Error::ConnectionTerminated)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(http_body::Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}
