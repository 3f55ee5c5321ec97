//! A request's body on its way in, by which its connection is busy.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::pulse::Ticket;

/// The body of a request, with the request's place on the connection: it may outlast the response,
/// and what comes then is not the head of another request.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Incoming,
    _ticket: Option<Ticket>,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new(body: Incoming, ticket: &Ticket) -> Self {
        Self {
            _ticket: (!body.is_end_stream()).then(|| ticket.share()),
            body,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
