//! The guest's body on its way to the upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Counters, PolledFrame, RequestScope};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

use crate::EgressError;
use crate::head;
use crate::limits::EgressLimits;
use crate::stopwatch::{Late, Stopwatch};
use crate::upload::Upload;

/// Checks the body's declared length and limits, limits the guest's time between two parts, and counts the
/// bytes for the request that the outgoing one is made for.
///
/// An error makes the client cut the request, so that the upstream never takes it for complete, or what
/// follows for a part of it.
pub(crate) struct RequestBody {
    inner: Body,
    scope: Option<Arc<RequestScope>>,
    upload: Arc<Upload>,
    declared: Option<u64>,
    sent: u64,
    most: Option<u64>,
    most_trailers: usize,
    write: Duration,
    /// Runs while the guest is to send.
    stopwatch: Stopwatch,
    waiting: bool,
}

// === impl RequestBody ===

impl RequestBody {
    /// Wraps a body, and returns the state of its upload.
    pub(crate) fn wrap(
        inner: Body,
        scope: Option<&Arc<RequestScope>>,
        declared: Option<u64>,
        limits: &EgressLimits,
        write: Duration,
    ) -> (Body, Arc<Upload>) {
        let upload = Arc::new(Upload::new());
        let body = Self {
            inner,
            scope: scope.cloned(),
            upload: Arc::clone(&upload),
            declared,
            sent: 0,
            most: limits.request_body,
            most_trailers: limits.request_head,
            write,
            stopwatch: Stopwatch::new(None),
            waiting: false,
        };
        (body.boxed_unsync(), upload)
    }

    fn fail(&self, error: EgressError) -> PolledFrame {
        self.upload.fail(error.clone());
        Poll::Ready(Some(Err(Box::new(error))))
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), EgressError> {
        if let Some(data) = frame.data_ref() {
            self.sent += data.len() as u64;
            if self.declared.is_some_and(|declared| self.sent > declared) {
                return Err(EgressError::ContentLength);
            }
            if self.most.is_some_and(|most| self.sent > most) {
                return Err(EgressError::RequestBodySize(self.sent));
            }
            if let Some(scope) = &self.scope {
                let sent = &scope.counters().outgoing_sent_bytes;
                Counters::add(sent, data.len() as u64);
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.check_end()?;
            head::within(trailers, self.most_trailers).map_err(EgressError::RequestTrailersSize)?;
        }
        Ok(())
    }

    fn check_end(&self) -> Result<(), EgressError> {
        match self.declared {
            Some(declared) if self.sent < declared => Err(EgressError::ContentLength),
            _ => Ok(()),
        }
    }

    fn poll_late(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        if !self.waiting {
            self.waiting = true;
            self.stopwatch.start(self.write, Late::Write);
        }
        self.stopwatch.poll(cx)
    }
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let this = &mut *self;
        let polled = Pin::new(&mut this.inner).poll_frame(cx);
        if polled.is_ready() {
            this.waiting = false;
            this.upload.advance();
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => match this.check(&frame) {
                Ok(()) => Poll::Ready(Some(Ok(frame))),
                Err(error) => this.fail(error),
            },
            Poll::Ready(Some(Err(error))) => this.fail(EgressError::RequestBody(error.into())),
            Poll::Ready(None) => match this.check_end() {
                Ok(()) => {
                    this.upload.end();
                    Poll::Ready(None)
                }
                Err(error) => this.fail(error),
            },
            Poll::Pending => match this.poll_late(cx) {
                Poll::Ready(late) => this.fail(late.into()),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        // A body that is too short is noticed only at its end.
        self.inner.is_end_stream() && self.check_end().is_ok()
    }

    fn size_hint(&self) -> SizeHint {
        match self.declared {
            Some(declared) => SizeHint::with_exact(declared.saturating_sub(self.sent)),
            None => self.inner.size_hint(),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        // The whole declared length was sent, or the connection wants no more.
        self.upload.end();
    }
}
