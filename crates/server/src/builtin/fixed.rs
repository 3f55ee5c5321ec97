//! The same answer to every request.

use std::sync::Arc;

use bytes::Bytes;
use headwater_core::{Body, Handler, HandlerFuture, RequestScope};
use http::{HeaderMap, Request, Response, StatusCode};

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
    fn handle(&self, _request: Request<Body>, _scope: Arc<RequestScope>) -> HandlerFuture {
        let mut response = Response::new(headwater_core::full(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        Box::pin(std::future::ready(Ok(response)))
    }
}
