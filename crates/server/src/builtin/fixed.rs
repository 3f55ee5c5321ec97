//! The same answer to every request.

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

/// Answers every request with this.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The status.
    pub status: StatusCode,
    /// The fields, `content-type` among them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Handler for Fixed {
    fn handle(&self, request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let mut response = Response::new(headwater_core::full(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        // A body that is not sent has no length that could be seen (RFC 9110 9.3.2).
        let may_have = !self.body.is_empty() && self.status != StatusCode::NO_CONTENT;
        if request.method() == Method::HEAD && may_have {
            let length = HeaderValue::from(self.body.len());
            response.headers_mut().insert(CONTENT_LENGTH, length);
        }
        Box::pin(std::future::ready(Ok(response)))
    }
}
