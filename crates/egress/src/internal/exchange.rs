use std::sync::Arc;

use headwater_core::{Body, Caller, InternalService};
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use tokio_util::task::AbortOnDropHandle;

use crate::EgressError;
use crate::internal::exact::hold_to_length;

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
    name_host(&mut request);
    let (head, body) = request.into_parts();
    let body = hold_to_length(body, &head.headers);
    let request = Request::from_parts(head, body);
    // In a task of its own: what the other service computes must not hold up the instance of the
    // caller, which polls this, nor be counted as its time; and a chain of services would have a
    // stack as deep as it is long.
    let answer = AbortOnDropHandle::new(tokio::spawn(service.call(request, caller)));
    let response = answer
        .await
        // The process is at its end, or the other side's front failed.
        .map_err(|error| EgressError::ConnectionTerminated(Arc::new(error)))?;
    let (head, body) = response.into_parts();
    let body = hold_to_length(body, &head.headers);
    Ok(Response::from_parts(head, body))
}

/// What clients derive from the URI.
fn name_host(request: &mut Request<Body>) {
    let host = request
        .uri()
        .authority()
        .map(|authority| HeaderValue::from_str(authority.as_str()));
    if let Some(Ok(host)) = host {
        request.headers_mut().insert(HOST, host);
    }
}
