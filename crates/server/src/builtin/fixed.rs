//! A handler that gives the same answer to every request.

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

/// Answers every request with this response.
#[derive(Debug, Clone)]
pub struct Fixed {
    /// The status.
    pub status: StatusCode,
    /// The header fields, including `content-type`.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Handler for Fixed {
    fn handle(&self, request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let mut response = Response::new(headwater_core::full(self.body.clone()));
        *response.status_mut() = self.status;
        let method = request.method().clone();
        // The request's map has room for the answer's fields, and hyper reuses it for the next request.
        let mut headers = request.into_parts().0.headers;
        headers.clear();
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        // The answer to HEAD has no body to take the length from (RFC 9110 9.3.2).
        let may_have = !self.body.is_empty() && self.status != StatusCode::NO_CONTENT;
        if method == Method::HEAD && may_have {
            let length = HeaderValue::from(self.body.len());
            headers.insert(CONTENT_LENGTH, length);
        }
        *response.headers_mut() = headers;
        Box::pin(std::future::ready(Ok(response)))
    }

    fn wants_introduction(&self) -> bool {
        false
    }
}
