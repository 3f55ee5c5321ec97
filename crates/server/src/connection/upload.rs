//! A request's body on its way in, by which its connection is busy.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use crate::connection::state::ActiveRequest;
use crate::request::body::Arriving;
use crate::request::body_wait::Trouble;

/// The body of a request, with the request's place on the connection: it may outlast the response,
/// and what comes then is not the head of another request.
#[derive(Debug)]
pub(crate) struct Upload {
    body: Incoming,
    _request: Option<ActiveRequest>,
}

// === impl Upload ===

impl Upload {
    pub(crate) fn new(body: Incoming, request: &ActiveRequest) -> Self {
        Self {
            _request: (!body.is_end_stream()).then(|| request.share()),
            body,
        }
    }
}

impl Arriving for Upload {
    /// hyper tells what it cannot decode by the kind of an [`io::Error`]. All else is a connection that
    /// broke, or a stream of HTTP/2 that was reset, be it for what was sent by it: nobody can be answered
    /// there.
    fn trouble(error: &hyper::Error) -> Option<Trouble> {
        let cause = error
            .source()
            .and_then(|source| source.downcast_ref::<io::Error>());
        Some(match cause {
            Some(cause) if is_malformed(cause.kind()) => {
                Trouble::Malformed(cause.to_string().into())
            }
            _ => Trouble::Gone,
        })
    }
}

fn is_malformed(kind: io::ErrorKind) -> bool {
    matches!(
        kind,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput
    )
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
