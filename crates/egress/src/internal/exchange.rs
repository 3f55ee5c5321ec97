use std::sync::Arc;

use headwater_core::{Body, Caller, InternalService};
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use tokio_util::task::AbortOnDropHandle;

use crate::EgressError;

/// Sends a request to a service of this host, and resolves at its response's head.
///
/// # Errors
///
/// Only when there will be no answer. What goes wrong at the other side is one.
pub(crate) async fn exchange(
    service: Arc<dyn InternalService>,
    mut request: Request<Body>,
    caller: Caller,
) -> Result<Response<Body>, EgressError> {
    // As clients derive it from the URI.
    let host = request
        .uri()
        .authority()
        .map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(HOST, host);
    }
    // In a task of its own: what the other service computes must not hold up the instance of the
    // caller, which polls this, nor be counted as its time; and a chain of services would have a
    // stack as deep as it is long.
    let answer = AbortOnDropHandle::new(tokio::spawn(service.call(request, caller)));
    answer
        .await
        // The process is at its end, or the other side's front failed.
        .map_err(|error| EgressError::ConnectionTerminated(Arc::new(error)))
}
