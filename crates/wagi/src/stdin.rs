use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use futures::FutureExt;
use futures::future::BoxFuture;
use headwater_core::{Body, BodyError, Fault, full};
use http::StatusCode;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http_body::Body as _;
use http_body_util::{BodyExt, Collected, LengthLimitError, Limited};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi::p2::{InputStream, Pollable, StreamError, StreamResult};

/// The largest request body of unknown length, in bytes: 16 MiB.
///
/// A module learns the length before it runs, so a body without a `content-length` is read into
/// memory first. A body with one is streamed, and this limit does not apply.
pub const UNSIZED_BODY: usize = 16 << 20;

/// Returns the body's length in bytes, and the body. A body of unknown length is read first.
/// Returns a client fault if it breaks off, or is of unknown length and longer than
/// [`UNSIZED_BODY`].
pub(crate) async fn measure(headers: &HeaderMap, body: Body) -> Result<(u64, Body), Fault> {
    let announced = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    if let Some(length) = announced.or_else(|| body.size_hint().exact()) {
        return Ok((length, body));
    }
    let bytes = in_full(body, UNSIZED_BODY).await.map_err(unreadable)?;
    Ok((bytes.len() as u64, full(bytes)))
}

/// Boxed: the compiler cannot tell that this future is `Send` (rust-lang/rust#110338).
pub(crate) fn in_full(body: Body, most: usize) -> BoxFuture<'static, Result<Bytes, BodyError>> {
    Box::pin(
        Limited::new(body, most)
            .collect()
            .map(|collected| collected.map(Collected::to_bytes)),
    )
}

fn unreadable(error: BodyError) -> Fault {
    if error.is::<LengthLimitError>() {
        return Fault::client(
            StatusCode::LENGTH_REQUIRED,
            "length_required",
            "the request's body is too large to be sent without a content-length",
        );
    }
    let status = StatusCode::BAD_REQUEST;
    Fault::client(status, "body_aborted", "the request's body broke off").caused_by(error)
}

/// A request's body as a module's stdin.
///
/// The body is read only as fast as the module reads, so a slow module slows the client down. A
/// read fills the whole buffer unless the body ends, as with a regular file: WAGI had the whole
/// body in advance, and many modules read only once.
#[derive(Debug, Clone)]
pub(crate) struct Stdin(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    body: Option<Body>,
    chunk: Bytes,
    error: Option<BodyError>,
}

impl Stdin {
    pub(crate) fn new(body: Body) -> Self {
        Self(Arc::new(Mutex::new(State {
            body: Some(body),
            chunk: Bytes::new(),
            error: None,
        })))
    }

    /// Becomes ready when there are bytes, or when there will never be any.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with(|state| state.poll_ready(cx))
    }

    /// Holds the lock only for a poll or a copy.
    fn with<T>(&self, use_it: impl FnOnce(&mut State) -> T) -> T {
        use_it(&mut self.0.lock())
    }
}

impl State {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.chunk.is_empty() {
            let Some(body) = &mut self.body else { break };
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => self.chunk = frame.into_data().unwrap_or_default(),
                Some(Err(error)) => {
                    self.error = Some(error);
                    self.body = None;
                }
                None => self.body = None,
            }
        }
        Poll::Ready(())
    }

    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if !self.chunk.is_empty() {
            return Ok(self.chunk.split_to(size.min(self.chunk.len())));
        }
        match self.error.take() {
            Some(error) => Err(StreamError::LastOperationFailed(
                io::Error::new(io::ErrorKind::ConnectionReset, error).into(),
            )),
            None if self.body.is_none() => Err(StreamError::Closed),
            None => Ok(Bytes::new()),
        }
    }
}

#[async_trait]
impl Pollable for Stdin {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

#[async_trait]
impl InputStream for Stdin {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.with(|state| state.read(size))
    }

    async fn blocking_read(&mut self, size: usize) -> StreamResult<Bytes> {
        self.ready().await;
        let first = self.with(|state| state.read(size))?;
        if first.len() == size {
            return Ok(first);
        }
        let mut bytes = BytesMut::from(first);
        while bytes.len() < size {
            self.ready().await;
            // The next read reports an end or an error after these bytes.
            let more = self.with(|state| match state.chunk.is_empty() {
                true => None,
                false => state.read(size - bytes.len()).ok(),
            });
            let Some(more) = more else { break };
            bytes.extend_from_slice(&more);
        }
        Ok(bytes.freeze())
    }
}

impl AsyncRead for Stdin {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|state| {
            ready!(state.poll_ready(cx));
            if let Some(error) = state.error.take() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, error)));
            }
            let length = buffer.remaining().min(state.chunk.len());
            buffer.put_slice(&state.chunk[..length]);
            state.chunk.advance(length);
            Poll::Ready(Ok(()))
        })
    }
}

impl IsTerminal for Stdin {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdinStream for Stdin {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use futures::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn body(frames: Vec<Result<&'static str, &'static str>>) -> Body {
        let frames = frames.into_iter().map(|frame| match frame {
            Ok(data) => Ok(Frame::data(Bytes::from_static(data.as_bytes()))),
            Err(error) => Err(BodyError::from(error)),
        });
        BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)))
    }

    #[tokio::test]
    async fn a_read_is_full_until_the_end() {
        let mut stdin = Stdin::new(body(vec![Ok("ab"), Ok(""), Ok("cde"), Ok("f")]));
        assert_eq!(stdin.blocking_read(4).await.unwrap(), "abcd");
        assert_eq!(stdin.blocking_read(1).await.unwrap(), "e");
        assert_eq!(stdin.blocking_read(9).await.unwrap(), "f");
        assert!(matches!(
            stdin.blocking_read(9).await,
            Err(StreamError::Closed)
        ));
        assert!(matches!(
            stdin.blocking_read(9).await,
            Err(StreamError::Closed)
        ));
    }

    #[tokio::test]
    async fn a_broken_body_is_an_error_after_its_bytes() {
        let mut stdin = Stdin::new(body(vec![Ok("ab"), Err("reset")]));
        assert_eq!(stdin.blocking_read(9).await.unwrap(), "ab");
        let error = stdin.blocking_read(9).await.unwrap_err();
        assert!(
            matches!(error, StreamError::LastOperationFailed(_)),
            "{error}"
        );
    }

    #[tokio::test]
    async fn the_length_is_announced_or_known_or_counted() {
        let mut headers = HeaderMap::new();
        let (length, body_again) = measure(&headers, body(vec![Ok("ab"), Ok("c")]))
            .await
            .unwrap();
        assert_eq!(length, 3);
        assert_eq!(body_again.collect().await.unwrap().to_bytes(), "abc");

        let (length, _) = measure(&headers, full("abcd")).await.unwrap();
        assert_eq!(length, 4);

        headers.insert(CONTENT_LENGTH, 7.into());
        let (length, _) = measure(&headers, body(vec![])).await.unwrap();
        assert_eq!(length, 7);
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_bounded() {
        let chunk = Bytes::from(vec![0; 1 << 20]);
        let frames = (0..17).map(move |_| Ok::<_, BodyError>(Frame::data(chunk.clone())));
        let body = BodyExt::boxed_unsync(StreamBody::new(stream::iter(frames)));
        let fault = measure(&HeaderMap::new(), body).await.unwrap_err();
        assert_eq!(fault.status(), StatusCode::LENGTH_REQUIRED);

        let broken = self::body(vec![Ok("a"), Err("reset")]);
        let fault = measure(&HeaderMap::new(), broken).await.unwrap_err();
        assert_eq!(fault.status(), StatusCode::BAD_REQUEST);
        assert_eq!(fault.cause().as_deref(), Some("reset"));
    }
}
