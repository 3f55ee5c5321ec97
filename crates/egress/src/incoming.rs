//! The body of a response, by whichever way it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::Body;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming as FromNetwork;

use crate::EgressError;
use crate::error::Phase;

/// What an upstream, or a service of the same host, sends.
pub(crate) enum Incoming {
    Network(FromNetwork),
    Internal(Body),
}

// === impl Incoming ===

impl http_body::Body for Incoming {
    type Data = Bytes;
    type Error = EgressError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, EgressError>>> {
        match self.get_mut() {
            Self::Network(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|error| EgressError::classify(error, Phase::Body)),
            Self::Internal(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|error| EgressError::ResponseIncomplete(Arc::from(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Network(body) => body.is_end_stream(),
            Self::Internal(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Network(body) => body.size_hint(),
            Self::Internal(body) => body.size_hint(),
        }
    }
}
