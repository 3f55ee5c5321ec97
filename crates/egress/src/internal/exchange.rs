use std::sync::Arc;

use headwater_core::{Body, Caller, InternalService};
use http::header::HOST;
use http::{HeaderValue, Request, Response};
use tokio_util::task::AbortOnDropHandle;

use crate::EgressError;

/// Sends a request to a service of this host, and resolves at its response's head. Returns an error
/// only if there will be no answer: errors of the other service are answers.
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
    // Runs in its own task: the other service's work must not hold up the caller's instance, which
    // polls this, nor count as its time, and a chain of services would need a deep stack.
    let answer = AbortOnDropHandle::new(tokio::spawn(service.call(request, caller)));
    answer
        .await
        // The process is shutting down, or the other service's front failed.
        .map_err(|error| EgressError::ConnectionTerminated(Arc::new(error)))
}
