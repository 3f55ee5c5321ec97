//! The part of a body that a hook may see.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{Body, BodyError, PolledFrame};
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;

/// The fate of a message whose body is larger than hooks may get.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LargerBodies {
    /// It is refused: a hook that has to see bodies cannot be evaded by large ones.
    #[default]
    Refuse,
    /// It passes, and hooks get an empty body.
    Pass,
}

/// A body, as far as it was read for a hook.
pub(super) enum Taken {
    /// The hook gets none, and it streams past.
    Streaming(Body),
    /// All of it.
    Whole {
        bytes: Bytes,
        trailers: Option<HeaderMap>,
    },
}

/// The reason why a body was not read.
#[derive(Debug)]
pub(super) enum TakeError {
    TooLarge,
    /// The deadline passed.
    Late,
    /// It broke off.
    Broken(BodyError),
}

/// A body that was read in part, or in whole with its trailers.
struct Replayed {
    read: VecDeque<Bytes>,
    rest: Option<Body>,
    trailers: Option<HeaderMap>,
}

// === impl Taken ===

impl Taken {
    /// Reads a body of at most `most` bytes.
    pub(super) async fn read(
        mut body: Body,
        most: usize,
        larger: LargerBodies,
    ) -> Result<Self, TakeError> {
        let too_large = |body: Body| match larger {
            LargerBodies::Refuse => Err(TakeError::TooLarge),
            LargerBodies::Pass => Ok(Self::Streaming(body)),
        };
        if most == 0 || body.is_end_stream() {
            return Ok(Self::Streaming(body));
        }
        if body.size_hint().lower() > most as u64 {
            return too_large(body);
        }
        let (mut read, mut length, mut trailers) = (VecDeque::new(), 0, None);
        while let Some(frame) = body.frame().await {
            match frame.map_err(TakeError::Broken)?.into_data() {
                Ok(data) => {
                    length += data.len();
                    read.push_back(data);
                    if length > most {
                        let rest = Some(body);
                        let replayed = Replayed {
                            read,
                            rest,
                            trailers: None,
                        };
                        return too_large(replayed.boxed_unsync());
                    }
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            }
        }
        let bytes = match read.len() {
            1 => read.pop_front().unwrap_or_default(),
            _ => {
                let mut bytes = Vec::with_capacity(length);
                read.iter().for_each(|data| bytes.extend_from_slice(data));
                bytes.into()
            }
        };
        Ok(Self::Whole { bytes, trailers })
    }

    /// Returns what the hook gets.
    pub(super) fn seen(&self) -> Vec<u8> {
        match self {
            Self::Streaming(_) => Vec::new(),
            Self::Whole { bytes, .. } => bytes.to_vec(),
        }
    }

    /// Returns the body for those behind the hook.
    pub(super) fn into_body(self) -> Body {
        match self {
            Self::Streaming(body) => body,
            Self::Whole { bytes, trailers } => {
                let read = Some(bytes).filter(|bytes| !bytes.is_empty());
                let read = read.into_iter().collect();
                let rest = None;
                Replayed {
                    read,
                    rest,
                    trailers,
                }
                .boxed_unsync()
            }
        }
    }
}

// === impl Replayed ===

impl http_body::Body for Replayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> PolledFrame {
        if let Some(data) = self.read.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(rest) = &mut self.rest {
            return Pin::new(rest).poll_frame(cx);
        }
        let trailers = self.trailers.take();
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        let is_rest_over = self
            .rest
            .as_ref()
            .is_none_or(http_body::Body::is_end_stream);
        self.read.is_empty() && is_rest_over && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let read: u64 = self.read.iter().map(|data| data.len() as u64).sum();
        let rest = self.rest.as_ref().map(http_body::Body::size_hint);
        let rest = rest.unwrap_or_else(|| SizeHint::with_exact(0));
        let mut hint = SizeHint::new();
        // A message with a length has no trailers in HTTP/1.1 (RFC 9112, 6.3).
        if let Some(upper) = rest.upper().filter(|_| self.trailers.is_none()) {
            hint.set_upper(read.saturating_add(upper));
        }
        hint.set_lower(read.saturating_add(rest.lower()));
        hint
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http::HeaderValue;
    use http_body_util::StreamBody;

    use super::*;

    /// A body of unknown length, of these chunks and a trailer.
    fn chunks(chunks: &'static [&'static str]) -> Body {
        let mut trailers = HeaderMap::new();
        trailers.insert("x-sum", HeaderValue::from_static("1"));
        let data = chunks
            .iter()
            .map(|data| Frame::data(Bytes::from_static(data.as_bytes())));
        let frames = data.chain([Frame::trailers(trailers)]);
        let frames = frames.map(Ok::<_, BodyError>);
        StreamBody::new(stream::iter(frames.collect::<Vec<_>>())).boxed_unsync()
    }

    async fn all(body: Body) -> (Bytes, bool) {
        let collected = body.collect().await.unwrap();
        let has_trailers = collected.trailers().is_some();
        (collected.to_bytes(), has_trailers)
    }

    #[tokio::test]
    async fn a_body_within_the_bound_is_seen_and_goes_on_with_its_trailers() {
        for larger in [LargerBodies::Refuse, LargerBodies::Pass] {
            let taken = Taken::read(chunks(&["ab", "cd"]), 4, larger).await.unwrap();
            assert_eq!(taken.seen(), b"abcd");
            let body = taken.into_body();
            assert_eq!(
                (body.size_hint().lower(), body.size_hint().exact()),
                (4, None)
            );
            assert_eq!(all(body).await, (Bytes::from("abcd"), true));
        }
    }

    #[tokio::test]
    async fn a_larger_body_is_refused_or_passes_whole_and_unseen() {
        let refused = Taken::read(chunks(&["ab", "cde"]), 4, LargerBodies::Refuse).await;
        assert!(matches!(refused, Err(TakeError::TooLarge)));
        let passed = Taken::read(chunks(&["ab", "cde", "f"]), 4, LargerBodies::Pass).await;
        let passed = passed.unwrap();
        assert!(passed.seen().is_empty());
        assert_eq!(all(passed.into_body()).await, (Bytes::from("abcdef"), true));
        // One that says its length is not read.
        let known = || headwater_core::full("abcde");
        let refused = Taken::read(known(), 4, LargerBodies::Refuse).await;
        assert!(matches!(refused, Err(TakeError::TooLarge)));
        let passed = Taken::read(known(), 4, LargerBodies::Pass).await.unwrap();
        assert_eq!(all(passed.into_body()).await, (Bytes::from("abcde"), false));
    }

    #[tokio::test]
    async fn without_a_bound_nothing_is_read() {
        let pending = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BodyError>>());
        let taken = Taken::read(pending.boxed_unsync(), 0, LargerBodies::Refuse).await;
        assert!(matches!(taken, Ok(Taken::Streaming(_))));
    }
}
