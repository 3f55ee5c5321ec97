//! The request's body on its way to the handler.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Counters, RequestScope};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use crate::request::body_wait::{Trouble, Wait};
use crate::request::reserved_headers;
use crate::stall_timer::StallTimer;

/// A body as it arrives, from a connection or from another service.
pub(crate) struct IncomingBody<B, H> {
    pub(crate) body: B,
    /// Held until the body is at its end, or nobody reads it any more.
    pub(crate) hold: H,
    pub(crate) params: BodyParams,
}

/// How a body is taken in.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct BodyParams {
    /// How long the rest of a body is read that the handler does not read to its end; `None` leaves
    /// it to whoever sends it.
    pub(crate) linger: Option<Duration>,
    /// The greatest number of bytes.
    pub(crate) max: Option<u64>,
    /// How long nothing may arrive while the handler waits.
    pub(crate) idle_timeout: Option<Duration>,
}

/// A body that arrives: a connection's, or another service's.
pub(crate) trait Arriving:
    http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static
{
    /// What the client did that the body ends with this error; none if that may be the doing of anybody
    /// else.
    fn trouble(error: &Self::Error) -> Option<Trouble>;
}

struct RequestBody<B: Arriving, H: Hold> {
    // `None` after an error, when there is nothing left to read.
    incoming: Option<(B, H)>,
    wait: Arc<Wait>,
    linger: Option<Duration>,
    // Bytes that may still come.
    remaining: Option<u64>,
    /// The wait for the next bytes.
    idle: Option<StallTimer>,
    // Because a guest's store may be polled and dropped on any thread.
    runtime: Option<Handle>,
}

/// What a body may hold.
pub(crate) trait Hold: Send + Unpin + 'static {}

impl<T: Send + Unpin + 'static> Hold for T {}

/// Another service's: that it broke off is between the two.
impl Arriving for Body {
    fn trouble(_: &BodyError) -> Option<Trouble> {
        None
    }
}

impl Arriving for Incoming {
    /// hyper tells what it cannot decode by the kind of an [`io::Error`]. All else is a connection that
    /// broke, or a stream of HTTP/2 that was reset, be it for what was sent by it: nobody can be answered
    /// there.
    fn trouble(error: &hyper::Error) -> Option<Trouble> {
        use io::ErrorKind::{InvalidData, InvalidInput};
        let cause = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        Some(match cause {
            Some(cause) if matches!(cause.kind(), InvalidData | InvalidInput) => {
                Trouble::Malformed(cause.to_string().into())
            }
            _ => Trouble::Gone,
        })
    }
}

// === impl IncomingBody ===

impl<B: Arriving, H: Hold> IncomingBody<B, H> {
    /// Makes the handler's body of it: counted, bounded, and read to its end if the handler does not. What
    /// has to arrive is waited for as told beside it.
    pub(crate) fn wrap(self, scope: &Arc<RequestScope>) -> (Body, Option<Arc<Wait>>) {
        let Self { body, hold, params } = self;
        if body.is_end_stream() {
            return (headwater_core::empty(), None);
        }
        let BodyParams {
            linger,
            max,
            idle_timeout,
        } = params;
        let linger = linger.filter(|linger| !linger.is_zero());
        let wait = Wait::new(scope);
        let body = RequestBody {
            incoming: Some((body, hold)),
            wait: Arc::clone(&wait),
            linger,
            remaining: max,
            idle: idle_timeout.map(StallTimer::new),
            runtime: (linger.is_some() || idle_timeout.is_some()).then(Handle::current),
        };
        (body.boxed_unsync(), Some(wait))
    }
}

// === impl RequestBody ===

impl<B: Arriving, H: Hold> http_body::Body for RequestBody<B, H> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some((incoming, _)) = &mut this.incoming else {
            return Poll::Ready(None);
        };
        let Poll::Ready(arrived) = this.wait.poll(cx, |cx| Pin::new(incoming).poll_frame(cx))
        else {
            if this.wait.trouble() == Some(Trouble::Overdue) {
                return Poll::Ready(Some(Err(this.fail(Trouble::Overdue))));
            }
            return match this.poll_idle(cx) {
                Poll::Ready(()) => Poll::Ready(Some(Err(this.fail(Trouble::TooSlow)))),
                Poll::Pending => Poll::Pending,
            };
        };
        if let Some(idle) = &mut this.idle {
            idle.restore();
        }
        Poll::Ready(match arrived {
            Some(Ok(mut frame)) => {
                // Services may make one list of them and the fields of the head.
                if let Some(trailers) = frame.trailers_mut() {
                    reserved_headers::remove(trailers);
                }
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                Counters::add(&this.wait.scope().counters().request_bytes, length);
                if let Some(remaining) = &mut this.remaining {
                    match remaining.checked_sub(length) {
                        Some(left) => *remaining = left,
                        None => return Poll::Ready(Some(Err(this.fail(Trouble::TooLarge)))),
                    }
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                this.incoming = None;
                if let Some(trouble) = B::trouble(&error) {
                    this.wait.note(trouble);
                }
                Some(Err(error.into()))
            }
            None => {
                this.incoming = None;
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let incoming = self.incoming.as_ref();
        incoming.is_none_or(|(body, _)| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.incoming {
            Some((body, _)) => body.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B: Arriving, H: Hold> RequestBody<B, H> {
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (Some(idle), Some(runtime)) = (&mut self.idle, &self.runtime) else {
            return Poll::Pending;
        };
        let _entered = runtime.enter();
        idle.poll(cx)
    }

    /// Notes what is wrong for the answer, and tells the handler.
    fn fail(&mut self, trouble: Trouble) -> BodyError {
        self.wait.note(trouble.clone());
        self.wait.end();
        match trouble {
            // The client may go on sending; it shall get its answer nevertheless.
            Trouble::TooLarge | Trouble::Overdue => self.read_on(),
            Trouble::TooSlow | Trouble::Malformed(_) | Trouble::Gone => self.incoming = None,
        }
        trouble.fault().into()
    }

    fn read_on(&mut self) {
        let rest = self.incoming.take();
        let Some((mut rest, hold)) = rest.filter(|(rest, _)| !rest.is_end_stream()) else {
            return;
        };
        let (Some(linger), Some(runtime)) = (self.linger.take(), &self.runtime) else {
            return;
        };
        // Dropping the rest here would make hyper close the connection under a client that is still
        // sending; the kernel then answers its data with a reset, and the response is lost
        // (RFC 9112 9.6). So it is read on, and thrown away, while the response goes out.
        runtime.spawn(tokio::time::timeout(linger, async move {
            while let Some(Ok(_)) = rest.frame().await {}
            drop(hold);
        }));
    }
}

impl<B: Arriving, H: Hold> Drop for RequestBody<B, H> {
    fn drop(&mut self) {
        self.wait.dropped();
        self.read_on();
    }
}
