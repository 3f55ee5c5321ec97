//! The part of a response's body that the guest wrote before the response was passed on.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

/// An instance's answer to a request.
pub(super) type Answer = wasmtime::Result<Response<Written>>;

pub(super) type Polled = Option<Result<Frame<Bytes>, Error>>;

/// A body, with the part that its guest had written by the end of the poll in which it gave the
/// response. For most responses that is all of it.
#[derive(Debug)]
pub(crate) struct Written {
    body: WasiBody,
    is_none: bool,
    /// The frames that were there then. The guest has not trapped in that poll.
    first: [Option<Result<Frame<Bytes>, Error>>; 2],
    ended: bool,
}

/// A frame of a body, and when it was there.
pub(super) enum Seen {
    /// Written between two polls of the instance.
    InTime(Polled),
    /// There now, while the instance may be polled.
    Now(Polled),
}

impl Written {
    /// Must be called by the instance's task, between two polls of the instance.
    pub(crate) fn new(mut body: WasiBody) -> Self {
        let is_none = body.is_end_stream();
        let mut first = [None, None];
        let mut ended = is_none;
        // A later poll registers a waker.
        let mut cx = Context::from_waker(Waker::noop());
        for place in &mut first {
            if ended {
                break;
            }
            match Pin::new(&mut body).poll_frame(&mut cx) {
                Poll::Ready(Some(frame)) => *place = Some(frame),
                Poll::Ready(None) => ended = true,
                Poll::Pending => break,
            }
        }
        Self {
            body,
            is_none,
            first,
            ended,
        }
    }

    pub(super) fn is_none(&self) -> bool {
        self.is_none
    }

    /// Returns true if the body itself reports its end.
    pub(super) fn tells_its_end(&self) -> bool {
        self.body.is_end_stream()
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        if let Some(frame) = self.first.iter_mut().find_map(Option::take) {
            return Poll::Ready(Seen::InTime(Some(frame)));
        }
        if self.ended {
            return Poll::Ready(Seen::InTime(None));
        }
        Pin::new(&mut self.body).poll_frame(cx).map(Seen::Now)
    }

    /// Returns true if it is certain that nothing more will come.
    pub(super) fn is_ended(&self) -> bool {
        (self.ended || self.body.is_end_stream()) && self.first.iter().all(Option::is_none)
    }

    pub(super) fn expected(&self) -> Option<u64> {
        (!self.has_failed())
            .then(|| self.size_hint().exact())
            .flatten()
    }

    /// Returns true if it is known to end with an error.
    pub(super) fn has_failed(&self) -> bool {
        let mut frames = self.first.iter().flatten();
        frames.any(Result::is_err)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        let frames = self.first.iter().flatten().flatten();
        let first = frames.filter_map(Frame::data_ref).map(Bytes::len).sum();
        with_more(self.body.size_hint(), first)
    }
}

/// Adds the `taken` bytes to the size of a body.
pub(super) fn with_more(mut hint: SizeHint, taken: usize) -> SizeHint {
    let taken = taken as u64;
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper.saturating_add(taken));
    }
    hint.set_lower(hint.lower().saturating_add(taken));
    hint
}
