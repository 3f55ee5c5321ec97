use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Fault, RequestId};
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, WasiBody, p2, p3};

use crate::one_line::one_line;
use crate::pool::{InstanceRecord, NoResponse, Slot, SlowStart};
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
    response: Response<WasiBody>,
    instance: Option<Arc<InstanceRecord>>,
    slot: Slot,
) -> Response<Body> {
    let length = PromisedLength::of(response.headers());
    response.map(|body| {
        GuestBody {
            body,
            length,
            instance,
            _slot: slot,
        }
        .boxed_unsync()
    })
}

/// A response's body, of which the end counts only if the instance that wrote it is well.
///
/// When a store is dropped because its guest failed, the body that the guest was writing ends
/// without an error. To the client that must not look like the end of the message.
struct GuestBody {
    body: WasiBody,
    length: PromisedLength,
    instance: Option<Arc<InstanceRecord>>,
    _slot: Slot,
}

/// The guest failed while its response was on the way.
#[derive(Debug, thiserror::Error)]
#[error("the guest failed before the end of its response")]
struct CutShort;

impl GuestBody {
    fn has_failed(&self) -> bool {
        let instance = self.instance.as_ref();
        instance.is_some_and(|instance| instance.has_failed())
    }
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| match frame {
            Some(Ok(frame)) => Some(self.length.frame(frame)),
            // Whatever else is wrong with a body that its guest could not write to its end.
            Some(Err(_)) | None if self.has_failed() => Some(Err(CutShort.into())),
            Some(Err(error)) => Some(Err(self.length.error(error))),
            None => self.length.end().err().map(Err),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Says whose fault it is that a guest gave no response.
pub(crate) fn fault(error: wasmtime::Error) -> Fault {
    if let Some(code) = error.downcast_ref::<p3::bindings::http::types::ErrorCode>() {
        return returned_error(format!("{code:?}"));
    }
    if let Some(code) = error.downcast_ref::<p2::bindings::http::types::ErrorCode>() {
        return returned_error(format!("{code:?}"));
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
    let number = instance.key.0;
    match instance.ended().await {
        Err(failure) if failure.culprit == Some(request) => {
            Fault::cpu_time().caused_by(format!("instance {number}: {}", failure.cause))
        }
        Err(failure) => Fault::trap().caused_by(format!("instance {number}: {}", failure.cause)),
        Ok(()) => Fault::trap().caused_by(format!("instance {number} ended without an answer")),
    }
}

fn returned_error(code: String) -> Fault {
    Fault::bad_response("the service returned an error in place of a response").caused_by(code)
}
