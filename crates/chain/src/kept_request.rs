//! Keeps a request while a middleware has it, to go on without the middleware if that fails.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use bytes::Bytes;
use headwater_core::{Body, BodyError, PolledFrame, empty};
use http::Request;
use http_body::SizeHint;
use http_body_util::BodyExt;
use parking_lot::Mutex;

/// A request that a middleware has.
pub(crate) struct KeptRequest {
    head: Request<()>,
    body: Arc<Mutex<Held>>,
}

/// A body, until it is read from.
struct Held {
    body: Body,
    touched: bool,
}

/// The body that the middleware gets.
struct LentBody(Arc<Mutex<Held>>);

// === impl KeptRequest ===

impl KeptRequest {
    /// Returns the request for the middleware, and what is kept of it.
    pub(crate) fn keep(request: Request<Body>) -> (Request<Body>, Self) {
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts.clone(), ());
        let body = Arc::new(Mutex::new(Held {
            body,
            touched: false,
        }));
        let lent = LentBody(Arc::clone(&body)).boxed_unsync();
        (Request::from_parts(parts, lent), Self { head, body })
    }

    /// Returns true if the middleware has not read of the body.
    pub(crate) fn is_untouched(&self) -> bool {
        !self.body.lock().touched
    }

    /// Takes the request back. Whatever the middleware still reads from now on is an empty body.
    pub(crate) fn take(self) -> Request<Body> {
        let body = std::mem::replace(&mut self.body.lock().body, empty());
        self.head.map(|()| body)
    }
}

impl http_body::Body for LentBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let mut held = self.0.lock();
        held.touched = true;
        Pin::new(&mut held.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().body.size_hint()
    }
}
