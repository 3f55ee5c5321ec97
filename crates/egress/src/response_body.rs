//! The upstream's body on its way to the guest.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{BodyError, Counters, RequestScope};
use headwater_telemetry::ClientSpan;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::EgressError;
use crate::incoming::Incoming;

/// Watches the time between two parts, names what goes wrong, counts the bytes for the request that
/// the body is for, and ends the span when the body is at its end or dropped.
pub(crate) struct ResponseBody {
    // `None` after the end or an error; dropping it closes or frees the connection.
    inner: Option<Incoming>,
    span: Option<ClientSpan>,
    scope: Option<Arc<RequestScope>>,
    between_bytes: Duration,
    // Runs only while the guest waits, and is made only when it first has to.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn new(
        inner: Incoming,
        span: ClientSpan,
        scope: Option<Arc<RequestScope>>,
        between_bytes: Duration,
    ) -> Self {
        Self {
            inner: Some(inner),
            span: Some(span),
            scope,
            between_bytes,
            timer: None,
            waiting: false,
        }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.inner = None;
        if let Some(mut span) = self.span.take() {
            span.error(error.kind());
        }
        Poll::Ready(Some(Err(Box::new(error))))
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.waiting {
            self.waiting = true;
            match (
                &mut self.timer,
                Instant::now().checked_add(self.between_bytes),
            ) {
                (Some(timer), Some(at)) => timer.as_mut().reset(at),
                (timer @ None, Some(at)) => *timer = Some(Box::pin(tokio::time::sleep_until(at))),
                // Longer than the clock can tell is for ever.
                (timer, None) => *timer = None,
            }
        }
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(cx),
            None => Poll::Pending,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                if let (Some(scope), Some(data)) = (&this.scope, frame.data_ref()) {
                    let received = &scope.counters().outgoing_received_bytes;
                    Counters::add(received, data.len() as u64);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(error),
            Poll::Ready(None) => {
                this.inner = None;
                this.span = None;
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_timer(cx) {
                Poll::Ready(()) => this.fail(EgressError::BetweenBytesTimeout),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
