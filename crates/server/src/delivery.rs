//! A response on its way out, by which its connection is busy.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::BodyError;
use http_body::{Body, Frame, SizeHint};

use crate::pulse::Ticket;
use crate::response_body::ResponseBody;

/// The body of a response, with the request's place on the connection.
pub(crate) struct Delivery {
    body: ResponseBody,
    _ticket: Ticket,
}

// === impl Delivery ===

impl Delivery {
    pub(crate) fn new(body: ResponseBody, ticket: Ticket) -> Self {
        Self {
            body,
            _ticket: ticket,
        }
    }
}

impl Body for Delivery {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
