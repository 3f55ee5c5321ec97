//! The body of an outgoing request, as the guest writes it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use headwater_core::fields::{DeclaredLength, declared_length, strip_hop_by_hop};
use headwater_core::{Body, BodyError, PolledFrame, empty};
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderMap, Method, Request};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::runtime::Handle;
use wasmtime_wasi_http::{Error, WasiBody};

use super::outgoing::Outgoing;
use crate::error_code::CutByGuest;

/// Returns the request as it is sent.
///
/// A client drops a body as soon as it has sent everything: nothing for a GET or a HEAD without
/// `content-length`, and the declared length for others. Guests finish their bodies later, sometimes with an
/// empty write. In 0.2 every outgoing request has a body resource, and a guest whose stream is closed by then
/// takes the request for failed (`wstd` reports a "connection reset"). So data after the end is discarded until
/// the guest finishes.
pub(super) fn outgoing(
    request: Request<WasiBody>,
    version: Version,
    outgoing: Arc<Outgoing>,
) -> Request<Body> {
    let expected = expected(&request);
    let (head, body) = request.into_parts();
    if body.is_end_stream() {
        return Request::from_parts(head, empty());
    }
    let body = GuestBody {
        body: Some(body),
        expected,
        written: 0,
        version,
        outgoing,
    };
    let body = match expected {
        // Dropping it here leaves the guest a reader for its writes.
        Some(0) => empty(),
        _ => body.boxed_unsync(),
    };
    Request::from_parts(head, body)
}

fn expected(request: &Request<WasiBody>) -> Option<u64> {
    match declared_length(request.headers()) {
        DeclaredLength::Exactly(length) => Some(length),
        // HTTP/1.1 defines no body for it.
        DeclaredLength::None if matches!(*request.method(), Method::GET | Method::HEAD) => Some(0),
        DeclaredLength::None | DeclaredLength::Invalid => None,
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    P2,
    P3,
}

struct GuestBody {
    /// None after the end or an error.
    body: Option<WasiBody>,
    /// The number of bytes that will be sent, if known.
    expected: Option<u64>,
    written: u64,
    version: Version,
    outgoing: Arc<Outgoing>,
}

impl GuestBody {
    /// Counts a frame. A guest of 0.2 that writes more than it declared gets an error when it writes, but the
    /// frame still arrives here.
    fn frame(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        self.written += frame.data_ref().map_or(0, |data| data.len() as u64);
        match self.expected {
            Some(length) if self.version == Version::P2 && self.written > length => {
                Err(Error::HttpRequestBodySize(Some(self.written)))
            }
            _ => Ok(match frame.into_trailers() {
                Ok(trailers) => Frame::trailers(harmless(trailers)),
                Err(frame) => frame,
            }),
        }
    }

    /// Returns the right error for a body that failed. If the guest drops a 0.2 body before it has finished it,
    /// the stock one reports a protocol error, as if it were the upstream's.
    fn name(&self, error: Error) -> Error {
        match (error, self.expected) {
            (error, _) if self.version == Version::P3 => error,
            (Error::HttpProtocolError, Some(length)) if self.written != length => {
                Error::HttpRequestBodySize(Some(self.written))
            }
            (Error::HttpProtocolError, _) => Error::InternalError(Some(
                "the request's body was dropped before it was finished".to_owned(),
            )),
            (error, _) => error,
        }
    }
}

impl http_body::Body for GuestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        let this = &mut *self;
        let Some(body) = &mut this.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(polled) = Pin::new(body).poll_frame(cx) else {
            return Poll::Pending;
        };
        let frame = polled.map(|polled| match polled {
            Ok(frame) => this.frame(frame),
            Err(error) => Err(this.name(error)),
        });
        if !matches!(frame, Some(Ok(_))) {
            this.body = None;
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| CutByGuest::new(error).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = self.body.as_ref().map(http_body::Body::size_hint);
        hint.unwrap_or_else(|| SizeHint::with_exact(0))
    }
}

impl Drop for GuestBody {
    fn drop(&mut self) {
        if self.expected.is_some_and(|length| self.written >= length)
            && let Some(body) = self.body.take()
            && let Ok(runtime) = Handle::try_current()
        {
            // Ends when the guest finishes or drops the body, at the latest with its instance.
            runtime.spawn(discard(body, self.outgoing.clone()));
        }
    }
}

/// Removes trailers that say how a message is carried: a length or a host there could desynchronise an upstream
/// (GHSA-jxcf-8qw5-5c33). The guest could not set other forbidden fields.
fn harmless(mut trailers: HeaderMap) -> HeaderMap {
    strip_hop_by_hop(&mut trailers);
    trailers.remove(CONTENT_LENGTH);
    trailers.remove(HOST);
    trailers
}

async fn discard(mut body: WasiBody, outgoing: Arc<Outgoing>) {
    while let Some(Ok(frame)) = body.frame().await {
        if frame.data_ref().is_some_and(Buf::has_remaining) {
            outgoing.note_unsent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_code;
    use headwater_egress::EgressError;
    use headwater_telemetry::LimitLog;
    use http::header::AUTHORIZATION;
    use http::request::Builder;
    use http_body_util::channel::{Channel, Sender};
    use http_body_util::{Full, StreamBody};

    fn note() -> Arc<Outgoing> {
        let limits = LimitLog::new("test".into());
        Arc::new(Outgoing::new("test".into(), 1, limits))
    }

    /// Returns a request with a body that the test writes, and the request as sent.
    fn written(request: Builder) -> (Sender<Bytes, Error>, Request<Body>) {
        let (sender, body) = Channel::new(1);
        let request = request.body(body.boxed_unsync()).unwrap();
        (sender, outgoing(request, Version::P3, note()))
    }

    #[tokio::test]
    async fn a_get_without_length_is_sent_without_its_body() {
        let body = Full::from("x").map_err(|never| match never {});
        let request = Request::get("http://a.example/")
            .body(body.boxed_unsync())
            .unwrap();
        assert!(
            outgoing(request, Version::P3, note())
                .body()
                .is_end_stream()
        );
    }

    #[tokio::test]
    async fn a_body_that_is_announced_is_sent() {
        for request in [
            Request::get("http://a.example/").header(CONTENT_LENGTH, 1),
            Request::post("http://a.example/"),
        ] {
            let body = Full::from("x").map_err(|never| match never {});
            let request = outgoing(
                request.body(body.boxed_unsync()).unwrap(),
                Version::P3,
                note(),
            );
            let body = request.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "x");
        }
    }

    #[tokio::test]
    async fn the_guest_may_write_nothing_to_the_end_after_all_was_sent() {
        for (request, length) in [
            (Request::get("http://a.example/"), 0),
            (Request::head("http://a.example/"), 0),
            (
                Request::post("http://a.example/").header(CONTENT_LENGTH, 0),
                0,
            ),
            (
                Request::post("http://a.example/").header(CONTENT_LENGTH, 3),
                3,
            ),
        ] {
            let (mut guest, mut request) = written(request);
            if length > 0 {
                guest.send_data(vec![b'x'; length].into()).await.unwrap();
                request.body_mut().frame().await.unwrap().unwrap();
            }
            drop(request);
            for _ in 0..10 {
                guest.send_data(Bytes::new()).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn a_body_that_is_let_go_of_before_its_end_is_closed_to_the_guest() {
        let (mut guest, request) =
            written(Request::post("http://a.example/").header(CONTENT_LENGTH, 3));
        drop(request);
        guest.send_data("xyz".into()).await.unwrap_err();
    }

    /// Returns the error that a 0.2 body ends with.
    async fn end(frames: Vec<Result<&'static str, Error>>, declared: Option<u64>) -> Error {
        let frames = frames
            .into_iter()
            .map(|frame| frame.map(|text| Frame::data(Bytes::from(text))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let mut request = Request::post("http://a.example/");
        if let Some(length) = declared {
            request = request.header(CONTENT_LENGTH, length);
        }
        let request = outgoing(request.body(body).unwrap(), Version::P2, note());
        let error = request.into_body().collect().await.unwrap_err();
        let error = EgressError::RequestBody(error.into());
        error_code::from_egress(&error)
    }

    #[tokio::test]
    async fn a_body_that_is_not_as_long_as_declared_says_how_long_it_is() {
        let short = vec![Ok("abc"), Err(Error::HttpProtocolError)];
        let short = end(short, Some(5)).await;
        assert!(matches!(short, Error::HttpRequestBodySize(Some(3))));
        let long = end(vec![Ok("abc"), Ok("def")], Some(5)).await;
        assert!(matches!(long, Error::HttpRequestBodySize(Some(6))));
    }

    #[tokio::test]
    async fn a_body_that_was_dropped_is_not_the_upstreams_fault() {
        let dropped = vec![Ok("abc"), Err(Error::HttpProtocolError)];
        let dropped = end(dropped, None).await;
        assert!(matches!(dropped, Error::InternalError(Some(_))));
    }

    #[tokio::test]
    async fn trailers_do_not_carry_what_is_between_the_ends_of_a_connection() {
        let mut trailers = HeaderMap::new();
        for name in ["content-length", "transfer-encoding", "host", "x-end"] {
            trailers.insert(name, "5".parse().unwrap());
        }
        trailers.insert(AUTHORIZATION, "mine".parse().unwrap());
        let frames = [Ok(Frame::trailers(trailers))];
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        let request = Request::post("http://a.example/").body(body).unwrap();
        let sent = outgoing(request, Version::P3, note()).into_body();
        let sent = sent.collect().await.unwrap().trailers().cloned().unwrap();
        assert_eq!(sent.len(), 2, "{sent:?}");
        assert!(sent.contains_key("x-end"));
    }
}
