use std::task::Poll;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full};

/// The error that ended a body early.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A streaming HTTP body, of a request or of a response, with trailers.
///
/// An `Err` frame means that the message is cut off: the front aborts the connection (HTTP/1) or
/// resets the stream (HTTP/2), and never ends the message cleanly.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// The next frame of a body, if it is there.
pub type PolledFrame = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// Returns a body without bytes.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body of these bytes.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}
