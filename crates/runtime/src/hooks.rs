use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use headwater_core::{Attribution, Body, BodyError, empty};
use headwater_egress::{Egress, SendOptions};
use http::header::CONTENT_LENGTH;
use http::{Method, Request};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::error_code;
use crate::outgoing::{Outgoing, Place};

/// Where `wasi:http`'s host implementation hands outgoing requests over to egress.
pub(crate) struct Hooks {
    egress: Egress,
    pub(crate) outgoing: Arc<Outgoing>,
    /// The attribution of the outgoing call that is being made; set by the import just before the
    /// stock implementation calls [`WasiHttpHooks::send_request`] in the same poll.
    pub(crate) next: Option<Attribution>,
}

impl Hooks {
    pub(crate) fn new(egress: Egress, outgoing: Arc<Outgoing>) -> Self {
        Self {
            egress,
            outgoing,
            next: None,
        }
    }
}

type Sent = Result<
    (
        http::Response<WasiBody>,
        Box<dyn Future<Output = Result<(), Error>> + Send>,
    ),
    Error,
>;

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let attribution = self.next.take().unwrap_or_else(Attribution::unknown);
        let unattributed = attribution.scope().is_none();
        if unattributed {
            self.outgoing.note_unattributed();
        }
        let Some(place) = self.outgoing.open() else {
            self.outgoing.note_refused(self.egress.service());
            return Box::new(async { Err(Error::ConnectionLimitReached) });
        };
        let options = options.map_or_else(SendOptions::default, |options| SendOptions {
            connect_timeout: options.connect_timeout,
            first_byte_timeout: options.first_byte_timeout,
            between_bytes_timeout: options.between_bytes_timeout,
        });
        let mut request =
            bodiless(request.map(|body| body.map_err(BodyError::from).boxed_unsync()));
        if unattributed {
            request.extensions_mut().insert(self.outgoing.most_hops());
        }
        // Now, and not when the future is first polled: in 0.2 another task does that.
        let sending = self.egress.send(request, options, attribution);
        Box::new(async move {
            let response = sending
                .await
                .map_err(|error| error_code::from_egress(&error))?;
            let response = response.map(|body| {
                Placed {
                    body: body.map_err(|error| error_code::from_body(&error)),
                    _place: place,
                }
                .boxed_unsync()
            });
            // The connection is driven by the client's pool, so there is nothing left to wait for.
            Ok((response, Box::new(async { Ok(()) }) as _))
        })
    }
}

/// The body of a response to an outgoing request, which has its place until then.
struct Placed<B> {
    body: B,
    _place: Place,
}

impl<B: http_body::Body + Unpin> http_body::Body for Placed<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Takes the body off a request that is sent without one, and reads it to its end all the same.
///
/// A GET or HEAD without `content-length` has no body on the wire. In 0.2 every outgoing request
/// has a body resource, though, and a guest may finish it long after the head was sent; if its
/// stream were closed by then, guests would take the request for failed (`wstd` reports a
/// "connection reset").
fn bodiless(request: Request<Body>) -> Request<Body> {
    let sent_without = matches!(*request.method(), Method::GET | Method::HEAD)
        && !request.headers().contains_key(CONTENT_LENGTH);
    if !sent_without || request.body().is_end_stream() {
        return request;
    }
    let (head, body) = request.into_parts();
    // Ends when the guest finishes or drops the body, at the latest with its instance.
    tokio::spawn(discard(body));
    Request::from_parts(head, empty())
}

async fn discard(mut body: Body) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, bytes::Buf::remaining);
    }
    if bytes > 0 {
        tracing::warn!(
            bytes,
            "a guest wrote a body to a GET or HEAD request without content-length: it was not sent"
        );
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::full;

    use super::*;

    #[tokio::test]
    async fn a_get_without_length_is_sent_without_its_body() {
        let request = Request::get("http://a.example/").body(full("x")).unwrap();
        let request = bodiless(request);
        assert!(request.body().is_end_stream());
    }

    #[tokio::test]
    async fn a_body_that_is_announced_is_sent() {
        for request in [
            Request::get("http://a.example/").header(CONTENT_LENGTH, 1),
            Request::post("http://a.example/"),
        ] {
            let request = bodiless(request.body(full("x")).unwrap());
            let body = request.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "x");
        }
    }

    #[tokio::test]
    async fn the_guest_may_write_its_empty_body_to_the_end_after_the_head_was_sent() {
        let (mut sender, channel) =
            http_body_util::channel::Channel::<bytes::Bytes, BodyError>::new(1);
        let request = Request::get("http://a.example/")
            .body(channel.boxed_unsync())
            .unwrap();
        drop(bodiless(request));
        for _ in 0..10 {
            sender.send_data(bytes::Bytes::new()).await.unwrap();
        }
    }
}
