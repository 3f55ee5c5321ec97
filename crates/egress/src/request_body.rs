//! The guest's body on its way to the upstream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{Attribution, Body, BodyError, Counters, RequestScope};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;

/// Counts a body's bytes for the request that the outgoing one is made for, if that is known.
pub(crate) fn counted(body: Body, attribution: &Attribution) -> Body {
    match attribution.scope() {
        Some(scope) if !http_body::Body::is_end_stream(&body) => RequestBody {
            inner: body,
            scope: Arc::clone(scope),
        }
        .boxed_unsync(),
        _ => body,
    }
}

struct RequestBody {
    inner: Body,
    scope: Arc<RequestScope>,
}

// === impl RequestBody ===

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let sent = &self.scope.counters().outgoing_sent_bytes;
            Counters::add(sent, data.len() as u64);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
