//! What a guest had written of its response's body when it gave the response.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use wasmtime_wasi_http::{Error, WasiBody};

/// What an instance answers a request with.
pub(super) type Answer = wasmtime::Result<Response<Written>>;

/// What a body gives when it is polled.
pub(super) type Polled = Option<Result<Frame<Bytes>, Error>>;

/// A body with as much of it as its guest had written when the poll of its instance was over, in which
/// the response was given: which for most is all of it.
#[derive(Debug)]
pub(crate) struct Written {
    body: WasiBody,
    /// There never was one.
    is_none: bool,
    /// What was there then. The guest has not trapped at it.
    first: [Option<Result<Frame<Bytes>, Error>>; 2],
    /// There is no more.
    ended: bool,
}

/// What there is of a body, and since when.
pub(super) enum Seen {
    /// It was there between two polls of the instance.
    InTime(Polled),
    /// It is there now, when the instance may be polled.
    Now(Polled),
}

impl Written {
    /// To be called by the instance's task, between two polls of the instance.
    pub(crate) fn new(mut body: WasiBody) -> Self {
        let is_none = body.is_end_stream();
        let mut first = [None, None];
        let mut ended = is_none;
        // Whoever asks next is woken.
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

    /// Whether there never was a body.
    pub(super) fn is_none(&self) -> bool {
        self.is_none
    }

    /// Whether the body itself says that it is at its end.
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

    /// Whether nothing more is to come, for certain.
    pub(super) fn is_ended(&self) -> bool {
        (self.ended || self.body.is_end_stream()) && self.first.iter().all(Option::is_none)
    }

    /// How many bytes there will be, where that is known.
    pub(super) fn expected(&self) -> Option<u64> {
        (!self.has_failed())
            .then(|| self.size_hint().exact())
            .flatten()
    }

    /// Whether it is known to end with an error.
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

/// The size of a body of which so much was taken.
pub(super) fn with_more(mut hint: SizeHint, taken: usize) -> SizeHint {
    let taken = taken as u64;
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper.saturating_add(taken));
    }
    hint.set_lower(hint.lower().saturating_add(taken));
    hint
}
