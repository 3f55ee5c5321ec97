//! The bodies of requests and responses, converted between the server and the guest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_core::{Body, BodyError, PolledFrame};
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody};

use crate::pool::queued_request::InstanceRecord;
use crate::pool::slot::Slot;
use crate::pool::written::{Polled, Seen, Written, with_more};
use crate::promised_length::PromisedLength;

/// Converts a request's body for the guest.
pub(crate) fn to_wasi(body: Body) -> WasiBody {
    body.map_err(|error| match error.downcast::<Error>() {
        Ok(error) => *error,
        // The client's connection broke, or its message was malformed.
        Err(error) => Error::InternalError(Some(error.to_string())),
    })
    .boxed_unsync()
}

pub(crate) fn empty() -> WasiBody {
    to_wasi(headwater_core::empty())
}

/// Converts the guest's response for the server. The body holds the request's place in the pool until it
/// is sent or dropped.
pub(crate) fn from_wasi(
    response: Response<Written>,
    instance: Option<Arc<InstanceRecord>>,
    slot: Slot,
) -> Response<Body> {
    let length = PromisedLength::of(response.headers());
    response.map(|written| {
        GuestBody {
            length,
            expected: length.declared().or_else(|| written.expected()),
            written,
            end: None,
            begun: false,
            instance,
            slot,
        }
        .boxed_unsync()
    })
}

/// A response's body whose end counts only if the instance that wrote it has not failed.
///
/// The end (the last bytes if the length is known, else the trailers or the end itself) is passed on after
/// the poll of the instance in which the guest gave it, because the guest may have trapped in the same
/// poll. And when a store is dropped because its guest failed, the body that the guest was writing ends
/// without an error. Neither must look to the client like the end of the message.
struct GuestBody {
    written: Written,
    /// The promised length, and the bytes passed on.
    length: PromisedLength,
    /// The total number of bytes, if known: a sender of the last byte does not poll again.
    expected: Option<u64>,
    /// The end of the body, while it is held back.
    end: Option<Polled>,
    begun: bool,
    instance: Option<Arc<InstanceRecord>>,
    slot: Slot,
}

impl GuestBody {
    fn is_last(&self, frame: &Frame<Bytes>) -> bool {
        match frame.data_ref() {
            // A body that reports its end itself was not made by the guest.
            Some(data) => self.remaining(data.len()) == Some(0) && !self.written.tells_its_end(),
            None => true,
        }
    }

    /// Returns the number of bytes left after this many more, if known.
    fn remaining(&self, more: usize) -> Option<u64> {
        let written = self.length.written() + more as u64;
        self.expected
            .map(|expected| expected.saturating_sub(written))
    }

    /// Returns what the server gets: an error if the guest breaks its promise.
    fn pass_on(&mut self, polled: Polled) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.begun = true;
        match polled {
            Some(Ok(frame)) => Some(self.length.frame(frame)),
            Some(Err(error)) => Some(Err(self.length.error(error))),
            None => self.length.end().err().map(Err),
        }
    }

    fn failure(&self) -> Option<BodyError> {
        let failure = self.instance.as_ref()?.failure()?;
        failure.set_told();
        Some(failure.fault(self.slot.scope.id()).into())
    }
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let this = &mut *self;
        let end = match this.end.take() {
            Some(end) => end,
            None => match ready!(this.written.poll(cx)) {
                Seen::InTime(polled) => return Poll::Ready(this.pass_on(polled)),
                Seen::Now(Some(Ok(frame))) if !this.is_last(&frame) => {
                    return Poll::Ready(this.pass_on(Some(Ok(frame))));
                }
                Seen::Now(end) => end,
            },
        };
        if let Some(instance) = &this.instance
            && instance.gate.poll_open(cx).is_pending()
        {
            this.end = Some(end);
            return Poll::Pending;
        }
        Poll::Ready(match this.failure() {
            Some(failure) => {
                this.begun = true;
                Some(Err(failure))
            }
            None => this.pass_on(end),
        })
    }

    fn is_end_stream(&self) -> bool {
        if !self.begun {
            // The head says if there is a body. That must not depend on the guest's speed.
            return self.written.is_none();
        }
        self.end.is_none() && self.remaining(0).unwrap_or(0) == 0 && self.written.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        if self.written.has_failed() || matches!(self.end, Some(Some(Err(_)))) {
            // The stock body reports that nothing more will come, which would be taken for a length.
            return SizeHint::default();
        }
        let held = match &self.end {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        with_more(self.written.size_hint(), held)
    }
}
