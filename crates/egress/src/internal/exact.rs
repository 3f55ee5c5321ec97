//! A body that is as long as its `content-length` says. Between hosts the connection sees to that;
//! within one there is none.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use headwater_core::fields::{DeclaredLength, declared_length};
use headwater_core::{Body, BodyError};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

/// Ends with an error in place of a byte too many, or of an end that comes too early.
struct Exact {
    inner: Body,
    remaining: u64,
    failed: bool,
}

#[derive(Debug, thiserror::Error)]
enum WrongLength {
    #[error("the body is longer than its content-length")]
    TooLong,
    #[error("the body is shorter than its content-length")]
    TooShort,
}

/// Holds a body to the length that its message declares, if it declares one.
pub(super) fn hold_to_length(body: Body, headers: &HeaderMap) -> Body {
    match declared_length(headers) {
        // One that is at its end before it began is an answer that has none, such as that to HEAD.
        DeclaredLength::Exactly(remaining) if !body.is_end_stream() => Exact {
            inner: body,
            remaining,
            failed: false,
        }
        .boxed_unsync(),
        _ => body,
    }
}

// === impl Exact ===

impl http_body::Body for Exact {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if self.failed {
            return Poll::Ready(None);
        }
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        let wrong = match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, |data| data.len() as u64);
                match self.remaining.checked_sub(length) {
                    Some(remaining) => {
                        self.remaining = remaining;
                        None
                    }
                    None => Some(WrongLength::TooLong),
                }
            }
            None if self.remaining > 0 => Some(WrongLength::TooShort),
            Some(Err(_)) | None => None,
        };
        if let Some(wrong) = wrong {
            self.failed = true;
            return Poll::Ready(Some(Err(wrong.into())));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        // Of one that ended too early, the error is still to come.
        self.failed || (self.remaining == 0 && self.inner.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use http::header::CONTENT_LENGTH;
    use http_body_util::channel::Channel;

    use super::*;

    async fn read(length: Option<&'static str>, chunks: &[&'static str]) -> Result<Bytes, String> {
        let mut headers = HeaderMap::new();
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        }
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(chunks.len().max(1));
        for chunk in chunks {
            sender
                .send_data(Bytes::from_static(chunk.as_bytes()))
                .await
                .unwrap();
        }
        drop(sender);
        let body = hold_to_length(body.boxed_unsync(), &headers)
            .collect()
            .await;
        body.map(|body| body.to_bytes())
            .map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn a_body_has_the_length_that_it_was_said_to_have_or_is_cut() {
        assert_eq!(read(None, &["ab", "c"]).await.unwrap(), "abc");
        assert_eq!(read(Some("3"), &["ab", "c"]).await.unwrap(), "abc");
        assert_eq!(read(Some("0"), &[]).await.unwrap(), "");
        for (length, chunks, said) in [
            ("2", &["ab", "c"][..], "longer"),
            ("4", &["ab", "c"], "shorter"),
            ("1", &[], "shorter"),
        ] {
            let error = read(Some(length), chunks).await.unwrap_err();
            assert!(error.contains(said), "{length}: {error}");
        }
    }
}
