use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Fault, RequestId, explain};
use http::Response;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody, p2, p3};

use crate::one_line::one_line;
use crate::pool::{BodyRefused, InstanceRecord, NoResponse, Slot, SlowStart};
use crate::promised_length::PromisedLength;

/// A request's body as the guest is given it.
pub(crate) fn to_wasi(body: Body) -> WasiBody {
    body.map_err(|error| match error.downcast::<Error>() {
        Ok(error) => *error,
        // The client's connection broke, or its message was malformed.
        Err(error) => Error::InternalError(Some(error.to_string())),
    })
    .boxed_unsync()
}

/// A request's body that is none.
pub(crate) fn empty() -> WasiBody {
    to_wasi(headwater_core::empty())
}

/// The guest's response as the front is given it.
///
/// The body holds the request's place in the pool until it is sent or dropped.
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

/// A response's body, of which the end counts only if the instance that wrote it is well.
///
/// What ends it (its last bytes, if its length is known, else its trailers or its end) is passed on when
/// the poll of the instance in which the guest gave it is over: the guest may have trapped in the same
/// one. And when a store is dropped because its guest failed, the body that the guest was writing ends
/// without an error. To the client neither must look like the end of the message.
struct GuestBody {
    written: Written,
    /// What was promised and passed on.
    length: PromisedLength,
    /// How many bytes there will be, where that is known: whoever sends the last of them asks for no more.
    expected: Option<u64>,
    /// What ends the body, while it is held back.
    end: Option<Polled>,
    /// Something was passed on.
    begun: bool,
    instance: Option<Arc<InstanceRecord>>,
    slot: Slot,
}

/// What a body gives when it is polled.
type Polled = Option<Result<Frame<Bytes>, Error>>;

impl GuestBody {
    /// Whether the body is at its end when this frame is sent.
    fn is_last(&self, frame: &Frame<Bytes>) -> bool {
        match frame.data_ref() {
            // One that tells its end itself is not of the guest's making.
            Some(data) => {
                self.remaining(data.len()) == Some(0) && !self.written.body.is_end_stream()
            }
            // Trailers.
            None => true,
        }
    }

    /// Bytes still to come after so many more, where that is known.
    fn remaining(&self, more: usize) -> Option<u64> {
        let written = self.length.written() + more as u64;
        self.expected
            .map(|expected| expected.saturating_sub(written))
    }

    /// What the front is given of it, which is an error where the guest breaks its promise.
    fn pass_on(&mut self, polled: Polled) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.begun = true;
        match polled {
            Some(Ok(frame)) => Some(self.length.frame(frame)),
            Some(Err(error)) => Some(Err(self.length.error(error))),
            None => self.length.end().err().map(Err),
        }
    }

    /// Whether the instance failed, and how that is told of.
    fn failure(&self) -> Option<BodyError> {
        let failure = self.instance.as_ref()?.failure()?;
        failure.set_told();
        Some(failure.fault(self.slot.request()).into())
    }
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
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
            // The head says whether there is a body. That should not depend on how quick the guest was.
            return self.written.is_none;
        }
        self.end.is_none() && self.remaining(0).unwrap_or(0) == 0 && self.written.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        if self.written.has_failed() || matches!(self.end, Some(Some(Err(_)))) {
            // The stock body says that nothing more will come, which would be taken for a length.
            return SizeHint::default();
        }
        let held = match &self.end {
            Some(Some(Ok(frame))) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        };
        with_more(self.written.size_hint(), held)
    }
}

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
enum Seen {
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

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Seen> {
        if let Some(frame) = self.first.iter_mut().find_map(Option::take) {
            return Poll::Ready(Seen::InTime(Some(frame)));
        }
        if self.ended {
            return Poll::Ready(Seen::InTime(None));
        }
        Pin::new(&mut self.body).poll_frame(cx).map(Seen::Now)
    }

    /// Whether nothing more is to come, for certain.
    fn is_ended(&self) -> bool {
        (self.ended || self.body.is_end_stream()) && self.first.iter().all(Option::is_none)
    }

    /// How many bytes there will be, where that is known.
    fn expected(&self) -> Option<u64> {
        (!self.has_failed())
            .then(|| self.size_hint().exact())
            .flatten()
    }

    /// Whether it is known to end with an error.
    fn has_failed(&self) -> bool {
        let mut frames = self.first.iter().flatten();
        frames.any(Result::is_err)
    }

    fn size_hint(&self) -> SizeHint {
        let frames = self.first.iter().flatten().flatten();
        let first = frames.filter_map(Frame::data_ref).map(Bytes::len).sum();
        with_more(self.body.size_hint(), first)
    }
}

/// The size of a body of which so much was taken.
fn with_more(mut hint: SizeHint, taken: usize) -> SizeHint {
    let taken = taken as u64;
    if let Some(upper) = hint.upper() {
        hint.set_upper(upper.saturating_add(taken));
    }
    hint.set_lower(hint.lower().saturating_add(taken));
    hint
}

/// Says whose fault it is that a guest gave no response.
pub(crate) fn fault(error: wasmtime::Error) -> Fault {
    if let Some(code) = error.downcast_ref::<p3::bindings::http::types::ErrorCode>() {
        return returned_error(format!("{code:?}"));
    }
    if let Some(code) = error.downcast_ref::<p2::bindings::http::types::ErrorCode>() {
        return returned_error(format!("{code:?}"));
    }
    if let Some(refused) = error.downcast_ref::<BodyRefused>() {
        return returned_error(explain(refused));
    }
    if error.is::<NoResponse>() {
        return Fault::bad_response("the service ended without a response")
            .caused_by(one_line(&error));
    }
    if error.is::<SlowStart>() {
        return Fault::deadline().caused_by(one_line(&error));
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Fault::overload("instance_limit", Duration::from_secs(1))
            .caused_by(one_line(&error));
    }
    Fault::trap().caused_by(one_line(&error))
}

/// The same for a request whose instance ended before it answered.
pub(crate) async fn lost(instance: &InstanceRecord, request: RequestId) -> Fault {
    // The cause is known to whoever ends the instance, which may be still at it.
    match instance.ended().await {
        Err(failure) => failure.fault(request),
        Ok(()) => {
            let number = instance.key.0;
            Fault::trap().caused_by(format!("instance {number} ended without an answer"))
        }
    }
}

fn returned_error(code: String) -> Fault {
    Fault::bad_response("the service returned an error in place of a response").caused_by(code)
}
