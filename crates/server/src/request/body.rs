//! The request's body on its way to the handler.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Counters, PolledFrame, RequestScope};
use http_body::SizeHint;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;

use crate::request::body_wait::{Trouble, Wait};
use crate::request::reserved_headers;
use crate::stall_timer::StallTimer;

/// A body as it arrives, from a connection or from another service.
pub(crate) struct IncomingBody<B, H> {
    pub(crate) body: B,
    /// Held until the body ends, or nobody reads it any more.
    pub(crate) hold: H,
    pub(crate) params: BodyParams,
}

#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct BodyParams {
    /// How long to read the rest of a body that the handler leaves unread; `None` leaves it to the sender.
    pub(crate) linger: Option<Duration>,
    pub(crate) max: Option<u64>,
    /// How long the client may pause while the handler waits.
    pub(crate) idle_timeout: Option<Duration>,
}

pub(crate) trait Arriving:
    http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static
{
    /// Returns the client's fault that an error stands for, or `None` if it may be another's.
    fn trouble(error: &Self::Error) -> Option<Trouble>;
}

struct RequestBody<B: Arriving, H: Hold> {
    // `None` after an error: nothing is left to read.
    incoming: Option<(B, H)>,
    wait: Arc<Wait>,
    linger: Option<Duration>,
    // The number of bytes that may still come.
    remaining: Option<u64>,
    /// The timeout of the next bytes.
    idle: Option<StallTimer>,
    // A guest's store may be polled and dropped on any thread, so the runtime is kept.
    runtime: Option<Handle>,
}

/// A value that is held while a body comes.
pub(crate) trait Hold: Send + Unpin + 'static {}

impl<T: Send + Unpin + 'static> Hold for T {}

/// The body of another service: if that service breaks it off, no client is at fault.
impl Arriving for Body {
    fn trouble(_: &BodyError) -> Option<Trouble> {
        None
    }
}

impl Arriving for Incoming {
    /// hyper reports what it cannot decode by the kind of an [`io::Error`]. Any other error is a broken
    /// connection or a reset HTTP/2 stream, where no answer can be sent.
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
    /// Makes the handler's body: counted, limited, and drained if unread. Also returns the wait for its bytes.
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

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
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
                // Services may join the trailers with the fields of the head.
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

    /// Records the trouble for the answer, and returns it as the handler's error.
    fn fail(&mut self, trouble: Trouble) -> BodyError {
        self.wait.note(trouble.clone());
        self.wait.end();
        match trouble {
            // The client may go on sending, and must still get its answer.
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
        // Dropping the rest here would make hyper close the connection while the client is still sending; the
        // kernel then answers its data with a reset, and the response is lost (RFC 9112 9.6). So the rest is
        // read and discarded while the response goes out.
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
