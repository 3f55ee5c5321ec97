//! The request's body on its way to the handler.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError, Counters, RequestScope};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;

/// Makes the handler's body of the one that arrives: counted, and read to its end if the handler does
/// not. `linger` bounds the latter; `None` leaves an unwanted body to whoever sends it.
pub(crate) fn wrap(
    incoming: impl Arriving,
    scope: &Arc<RequestScope>,
    linger: Option<Duration>,
) -> Body {
    if incoming.is_end_stream() {
        return headwater_core::empty();
    }
    RequestBody {
        incoming: Some(incoming),
        scope: Arc::clone(scope),
        linger: linger
            .filter(|linger| !linger.is_zero())
            .map(|linger| (linger, Handle::current())),
    }
    .boxed_unsync()
}

/// A body that arrives: a connection's, or another service's.
pub(crate) trait Arriving:
    http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static
{
}

struct RequestBody<B: Arriving> {
    // `None` after an error, when there is nothing left to read.
    incoming: Option<B>,
    scope: Arc<RequestScope>,
    // With the runtime's handle, because a guest's store may be dropped on any thread.
    linger: Option<(Duration, Handle)>,
}

impl<B> Arriving for B where
    B: http_body::Body<Data = Bytes, Error: Into<BodyError>> + Send + Unpin + 'static
{
}

// === impl RequestBody ===

impl<B: Arriving> http_body::Body for RequestBody<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(Pin::new(incoming).poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    Counters::add(&self.scope.counters().request_bytes, data.len() as u64);
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.incoming = None;
                Some(Err(error.into()))
            }
            None => {
                self.incoming = None;
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

impl<B: Arriving> Drop for RequestBody<B> {
    fn drop(&mut self) {
        let Some((linger, runtime)) = self.linger.take() else {
            return;
        };
        let Some(mut rest) = self.incoming.take().filter(|rest| !rest.is_end_stream()) else {
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
