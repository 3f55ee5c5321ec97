//! A response body that keeps its connection busy until the last byte.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{BodyError, PolledFrame};
use http::Version;
use http_body::{Body, Frame, SizeHint};

use crate::connection::h2_streams;
use crate::connection::state::ActiveRequest;
use crate::pipeline::response_body::ResponseBody;

/// The most bytes that hyper gets of an HTTP/2 body at once. It takes the next portion when the
/// client has made room for this one, which tells a slow client from one that reads nothing.
const PORTION: usize = 64 << 10;

/// A response body that holds the request's place on the connection.
pub(crate) struct H2SendBody {
    body: ResponseBody,
    /// The rest of a frame that is sent in portions.
    rest: Bytes,
    by_portions: bool,
    _request: ActiveRequest,
}

// === impl H2SendBody ===

impl H2SendBody {
    pub(crate) fn new(body: ResponseBody, version: Version, request: ActiveRequest) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            by_portions: version >= Version::HTTP_2,
            _request: request,
        }
    }

    fn portion(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > PORTION => {
                let portion = data.split_to(PORTION);
                self.rest = data;
                Frame::data(portion)
            }
            Ok(data) => Frame::data(data),
            Err(other) => other,
        }
    }
}

impl Body for H2SendBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        if !self.by_portions {
            return Pin::new(&mut self.body).poll_frame(cx);
        }
        let polled = if self.rest.is_empty() {
            Pin::new(&mut self.body).poll_frame(cx)
        } else {
            let rest = std::mem::take(&mut self.rest);
            Poll::Ready(Some(Ok(Frame::data(rest))))
        };
        h2_streams::note(polled.is_ready());
        polled.map_ok(|frame| self.portion(frame))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = self.body.size_hint();
        let rest = self.rest.len() as u64;
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint.set_lower(hint.lower().saturating_add(rest));
        hint
    }
}
