//! The request's body on its way to the handler.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Counters, RequestScope};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep};

use crate::request::body_wait::{Trouble, Wait};
use crate::request::reserved_headers;

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

/// Makes the handler's body of the one that arrives: counted, bounded, and read to its end if the
/// handler does not. What has to arrive is waited for as told beside it.
pub(crate) fn wrap(
    incoming: impl Arriving,
    scope: &Arc<RequestScope>,
    params: BodyParams,
) -> (Body, Option<Arc<Wait>>) {
    if incoming.is_end_stream() {
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
        incoming: Some(incoming),
        wait: Arc::clone(&wait),
        linger,
        remaining: max,
        idle: idle_timeout.map(Idle::new),
        runtime: (linger.is_some() || idle_timeout.is_some()).then(Handle::current),
    };
    (body.boxed_unsync(), Some(wait))
}

/// A body that arrives: a connection's, or another service's.
pub(crate) trait Arriving:
    http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static
{
    /// What the client did that the body ends with this error; none if that may be the doing of anybody
    /// else.
    fn trouble(error: &Self::Error) -> Option<Trouble>;
}

struct RequestBody<B: Arriving> {
    // `None` after an error, when there is nothing left to read.
    incoming: Option<B>,
    wait: Arc<Wait>,
    linger: Option<Duration>,
    // Bytes that may still come.
    remaining: Option<u64>,
    idle: Option<Idle>,
    // Because a guest's store may be polled and dropped on any thread.
    runtime: Option<Handle>,
}

/// The wait for the next bytes.
struct Idle {
    timeout: Duration,
    // Made when first waited for: most bodies are there at once.
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

/// Another service's: that it broke off is between the two.
impl Arriving for Body {
    fn trouble(_: &BodyError) -> Option<Trouble> {
        None
    }
}

// === impl RequestBody ===

impl<B: Arriving> http_body::Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let Some(incoming) = &mut this.incoming else {
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
            idle.armed = false;
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
        self.incoming.as_ref().is_none_or(B::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), B::size_hint)
    }
}

impl<B: Arriving> RequestBody<B> {
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
        let Some(mut rest) = self.incoming.take().filter(|rest| !rest.is_end_stream()) else {
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
        }));
    }
}

impl<B: Arriving> Drop for RequestBody<B> {
    fn drop(&mut self) {
        self.wait.dropped();
        self.read_on();
    }
}

// === impl Idle ===

impl Idle {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            timer: None,
            armed: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = Instant::now().checked_add(self.timeout) else {
            // A timeout beyond what the clock can tell is none.
            return Poll::Pending;
        };
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if !self.armed {
            timer.as_mut().reset(until);
            self.armed = true;
        }
        timer.as_mut().poll(cx)
    }
}
