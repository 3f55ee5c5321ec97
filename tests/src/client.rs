//! An HTTP client of the host.

use std::error::Error;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::trace_context::TraceParent;
use crate::within;

/// The body of a request.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// An HTTP client with its own keep-alive connections.
#[derive(Debug, Clone)]
pub struct Client {
    inner: legacy::Client<HttpConnector, Body>,
}

/// A response that was read completely.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The trailers; empty if there were none.
    pub trailers: HeaderMap,
}

impl Client {
    /// Creates a client that speaks HTTP/1.1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            inner: legacy::Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    /// Creates a client that speaks HTTP/2 without TLS, with prior knowledge.
    #[must_use]
    pub fn http2() -> Self {
        Self {
            inner: legacy::Client::builder(TokioExecutor::new())
                .http2_only(true)
                .build_http(),
        }
    }

    /// Sends a `GET` request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer, or it is cut off.
    pub async fn get(&self, url: &str) -> Result<Answer> {
        self.send(Request::get(url).body(empty())?).await
    }

    /// Sends a `GET` request with a tag for the guest to pass on and a trace context for the host
    /// to continue.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer, or it is cut off.
    pub async fn get_tagged(&self, url: &str, tag: &str, parent: &TraceParent) -> Result<Answer> {
        let request = Request::get(url)
            .header("x-tag", tag)
            .header("traceparent", parent.to_string())
            .body(empty())?;
        self.send(request).await
    }

    /// Sends any request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer, or it is cut off.
    pub async fn send(&self, request: Request<Body>) -> Result<Answer> {
        let what = format!("the answer to {} {}", request.method(), request.uri());
        within(&what, async {
            let response = self.open(request).await?;
            let (head, body) = response.into_parts();
            let body = body
                .collect()
                .await
                .with_context(|| format!("the body of {what} was cut"))?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                trailers: body.trailers().cloned().unwrap_or_default(),
                body: body.to_bytes(),
            })
        })
        .await?
    }

    /// Sends any request and returns the answer with its body unread.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no answer.
    pub async fn open(&self, request: Request<Body>) -> Result<Response<Incoming>> {
        let what = format!("{} {}", request.method(), request.uri());
        within(&what, self.inner.request(request))
            .await?
            .with_context(|| format!("no answer to {what}"))
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Answer {
    /// Returns the body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns a header's value as text, empty if it is absent.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// Returns true if this is an answer to overload: 503, and when to retry, in seconds.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        let seconds = self.header("retry-after").parse::<u64>();
        self.status == StatusCode::SERVICE_UNAVAILABLE && seconds.is_ok_and(|seconds| seconds > 0)
    }

    /// Returns true if this is the answer to a guest's failure: 500, with the request's id in the
    /// text.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        let id = self.request_id();
        self.status == StatusCode::INTERNAL_SERVER_ERROR
            && !id.is_empty()
            && self.text().contains(id)
    }

    /// Returns the id that the host gave to the request, empty if there is none.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.header("x-request-id")
    }
}

/// Returns an empty body.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Returns a body of these bytes.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// Returns a body of these chunks, sent on demand, followed by these trailers.
pub fn streamed(
    chunks: impl Iterator<Item = Bytes> + Send + 'static,
    trailers: Option<HeaderMap>,
) -> Body {
    let frames = chunks
        .map(Frame::data)
        .chain(trailers.map(Frame::trailers))
        .map(Ok);
    StreamBody::new(futures::stream::iter(frames)).boxed_unsync()
}
