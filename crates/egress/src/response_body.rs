//! The upstream's body on its way to the guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::fields::{DeclaredLength, declared_length};
use headwater_core::{Body, BodyError, Counters, PolledFrame, RequestScope};
use headwater_telemetry::ClientSpan;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Either;
use hyper::body::Incoming as FromNetwork;

use crate::EgressError;
use crate::connection::Lease;
use crate::error::{Phase, said};
use crate::head;
use crate::limits::{EgressLimits, RequestPermit};
use crate::met::MetLimits;
use crate::stopwatch::{Late, Stopwatch};

/// Limits the time between two parts and the body's size, classifies errors, counts the bytes for the request
/// that the body is for, and ends the span at the end of the body or when dropped.
pub(crate) struct ResponseBody {
    /// `None` after the end or an error.
    open: Option<Open>,
    span: Option<ClientSpan>,
    scope: Option<Arc<RequestScope>>,
    between_bytes: Duration,
    met: MetLimits,
    stopwatch: Stopwatch,
    /// True if the stopwatch runs for the next part, which the guest waits for.
    waiting: bool,
    received: u64,
    /// The length to check, if nothing else checks it.
    declared: Option<u64>,
    most: Option<u64>,
    most_trailers: usize,
}

/// The body of an upstream, or of a service of the same host.
pub(crate) type Incoming = Either<FromNetwork, Body>;

/// The parts of an exchange whose response has begun.
pub(crate) struct Open {
    // In this order: dropping the body closes or frees the connection.
    pub(crate) body: Incoming,
    pub(crate) _lease: Option<Lease>,
    pub(crate) _place: RequestPermit,
    /// See [`declared`].
    pub(crate) declared: Option<u64>,
}

pub(crate) struct ResponseBodyParams<'a> {
    pub(crate) open: Open,
    pub(crate) span: ClientSpan,
    pub(crate) scope: Option<Arc<RequestScope>>,
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
            declared: open.declared,
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

    fn fail(&mut self, error: EgressError) -> PolledFrame {
        self.open = None;
        self.met.note(&error);
        if let Some(mut span) = self.span.take() {
            span.error(error.kind());
        }
        Poll::Ready(Some(Err(Box::new(error))))
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), EgressError> {
        if self.stopwatch.is_over() {
            return Err(EgressError::TotalTimeout);
        }
        if let Some(data) = frame.data_ref() {
            self.received += data.len() as u64;
            if self
                .declared
                .is_some_and(|declared| self.received > declared)
            {
                return Err(wrong_length("longer"));
            }
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

    /// Returns true if the body ended too early.
    fn is_short(&self) -> bool {
        self.declared
            .is_some_and(|declared| self.received < declared)
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        if !self.waiting {
            self.waiting = true;
            self.stopwatch.start(self.between_bytes, Late::BetweenBytes);
        }
        self.stopwatch.poll(cx)
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
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
            Poll::Ready(Some(Err(error))) => {
                let error = match open.body {
                    Either::Left(_) => EgressError::classify(error, Phase::Body),
                    Either::Right(_) => EgressError::ResponseIncomplete(error.into()),
                };
                this.fail(error)
            }
            Poll::Ready(None) if this.is_short() => this.fail(wrong_length("shorter")),
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
        // A body that ended too early still has to return its error.
        let open = self.open.as_ref();
        open.is_none_or(|open| open.body.is_end_stream() && !self.is_short())
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.open, self.declared) {
            (None, _) => SizeHint::with_exact(0),
            (Some(_), Some(declared)) => SizeHint::with_exact(declared - self.received),
            (Some(open), None) => open.body.size_hint(),
        }
    }
}

/// Returns the declared length of the body of a response from a service of the same host. For other hosts the
/// connection checks the length. A body that is empty from the start belongs to an answer without one, such
/// as to HEAD.
pub(crate) fn declared(response: &Response<Incoming>) -> Option<u64> {
    match (response.body(), declared_length(response.headers())) {
        (Either::Right(body), DeclaredLength::Exactly(length)) if !body.is_end_stream() => {
            Some(length)
        }
        _ => None,
    }
}

fn wrong_length(problem: &str) -> EgressError {
    let text = format!("the body is {problem} than its content-length");
    EgressError::ResponseIncomplete(said(&text))
}
