//! The upstream's body on its way to the guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{BodyError, Counters, RequestScope};
use headwater_telemetry::ClientSpan;
use http_body::{Body, Frame, SizeHint};

use crate::EgressError;
use crate::connection::Lease;
use crate::head;
use crate::incoming::Incoming;
use crate::limits::{EgressLimits, RequestPermit};
use crate::met::MetLimits;
use crate::stopwatch::{Late, Stopwatch};

/// Watches the time between two parts, holds the body to the limits, names what goes wrong, counts
/// the bytes for the request that the body is for, and ends the span when the body is at its end or
/// dropped.
pub(crate) struct ResponseBody {
    /// `None` after the end or an error.
    open: Option<Open>,
    span: Option<ClientSpan>,
    scope: Option<Arc<RequestScope>>,
    between_bytes: Duration,
    met: MetLimits,
    stopwatch: Stopwatch,
    /// Whether the stopwatch runs for the next part; only while the guest waits for it.
    waiting: bool,
    received: u64,
    most: Option<u64>,
    most_trailers: usize,
}

/// What there is of an exchange whose response has begun.
pub(crate) struct Open {
    // In this order: dropping the first closes or frees the connection.
    pub(crate) body: Incoming,
    pub(crate) _lease: Option<Lease>,
    pub(crate) _place: RequestPermit,
}

/// What a [`ResponseBody`] is made of.
pub(crate) struct ResponseBodyParams<'a> {
    pub(crate) open: Open,
    pub(crate) span: ClientSpan,
    pub(crate) scope: Option<Arc<RequestScope>>,
    /// What has run until now.
    pub(crate) stopwatch: Stopwatch,
    pub(crate) between_bytes: Duration,
    pub(crate) limits: &'a EgressLimits,
    pub(crate) met: &'a MetLimits,
}

// === impl ResponseBody ===

impl ResponseBody {
    pub(crate) fn new(params: ResponseBodyParams<'_>) -> Self {
        let ResponseBodyParams {
            open,
            span,
            scope,
            stopwatch,
            between_bytes,
            limits,
            met,
        } = params;
        Self {
            open: Some(open),
            span: Some(span),
            scope,
            between_bytes,
            met: met.clone(),
            stopwatch,
            waiting: false,
            received: 0,
            most: limits.response_body,
            most_trailers: limits.response_head,
        }
    }

    fn fail(&mut self, error: EgressError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.open = None;
        self.met.note(&error);
        if let Some(mut span) = self.span.take() {
            span.error(error.kind());
        }
        Poll::Ready(Some(Err(Box::new(error))))
    }

    /// Whether a part may be passed on.
    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), EgressError> {
        if self.stopwatch.is_over() {
            return Err(EgressError::TotalTimeout);
        }
        if let Some(data) = frame.data_ref() {
            self.received += data.len() as u64;
            if self.most.is_some_and(|most| self.received > most) {
                return Err(EgressError::ResponseBodySize(self.received));
            }
            if let Some(scope) = &self.scope {
                let received = &scope.counters().outgoing_received_bytes;
                Counters::add(received, data.len() as u64);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            let within = head::within(trailers, self.most_trailers);
            within.map_err(|size| EgressError::ResponseTrailersSize(Some(size)))?;
        }
        Ok(())
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        if !self.waiting {
            self.waiting = true;
            self.stopwatch.start(self.between_bytes, Late::BetweenBytes);
        }
        self.stopwatch.poll(cx)
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
        let Some(open) = &mut this.open else {
            return Poll::Ready(None);
        };
        match Pin::new(&mut open.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.waiting = false;
                match this.check(&frame) {
                    Ok(()) => Poll::Ready(Some(Ok(frame))),
                    Err(error) => this.fail(error),
                }
            }
            Poll::Ready(Some(Err(error))) => this.fail(error),
            Poll::Ready(None) => {
                this.open = None;
                this.span = None;
                Poll::Ready(None)
            }
            Poll::Pending => match this.poll_late(cx) {
                Poll::Ready(late) => this.fail(late.into()),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.open
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), |open| open.body.size_hint())
    }
}
