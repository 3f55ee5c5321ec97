//! What a request's body of 0.2 ends with that the guest dropped before it had finished it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::fields::DeclaredLength;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use wasmtime_wasi_http::Error;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

/// A body whose failure says what is wrong with it. The stock one calls all of them a protocol error, as
/// if they were the upstream's.
pub(super) fn named(body: HyperOutgoingBody, declared: DeclaredLength) -> HyperOutgoingBody {
    Named {
        body,
        declared,
        written: 0,
    }
    .boxed_unsync()
}

struct Named {
    body: HyperOutgoingBody,
    declared: DeclaredLength,
    written: u64,
}

impl Body for Named {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        polled.map(|frame| {
            frame.map(|frame| match frame {
                Ok(frame) => {
                    self.written += frame.data_ref().map_or(0, |data| data.len() as u64);
                    match self.declared {
                        // It is told when it writes, and what it wrote is here all the same.
                        DeclaredLength::Exactly(length) if self.written > length => {
                            Err(Error::HttpRequestBodySize(Some(self.written)))
                        }
                        _ => Ok(frame),
                    }
                }
                Err(Error::HttpProtocolError) => Err(match self.declared {
                    DeclaredLength::Exactly(length) if self.written != length => {
                        Error::HttpRequestBodySize(Some(self.written))
                    }
                    _ => Error::InternalError(Some(
                        "the request's body was dropped before it was finished".to_owned(),
                    )),
                }),
                Err(error) => Err(error),
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::StreamBody;

    use super::*;

    async fn end(frames: Vec<Result<&'static str, Error>>, declared: DeclaredLength) -> Error {
        let frames = frames
            .into_iter()
            .map(|frame| frame.map(|text| Frame::data(Bytes::from(text))));
        let body = StreamBody::new(futures::stream::iter(frames)).boxed_unsync();
        named(body, declared).collect().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_body_that_is_not_as_long_as_declared_says_how_long_it_is() {
        let short = vec![Ok("abc"), Err(Error::HttpProtocolError)];
        let short = end(short, DeclaredLength::Exactly(5)).await;
        assert!(matches!(short, Error::HttpRequestBodySize(Some(3))));
        let long = end(vec![Ok("abc"), Ok("def")], DeclaredLength::Exactly(5)).await;
        assert!(matches!(long, Error::HttpRequestBodySize(Some(6))));
    }

    #[tokio::test]
    async fn a_body_that_was_dropped_is_not_the_upstreams_fault() {
        let dropped = vec![Ok("abc"), Err(Error::HttpProtocolError)];
        let dropped = end(dropped, DeclaredLength::None).await;
        assert!(matches!(dropped, Error::InternalError(Some(_))));
    }
}
