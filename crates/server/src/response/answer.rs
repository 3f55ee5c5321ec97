//! Makes an answer and a log line of a [`Fault`].

use std::sync::Arc;

use headwater_core::{Blame, Body, Fault, RequestId, RequestScope};
use http::header::{HeaderName, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Response};

use crate::response::explanation::Explanation;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes the answer to a fault: status, sentence and request id; the cause only if explanations are turned on.
pub(crate) fn answer(
    fault: &Fault,
    id: RequestId,
    explanation: Option<&Explanation>,
) -> Response<Body> {
    let why = explanation.map(Explanation::text).unwrap_or_default();
    fault.answer(id, &why)
}

/// A request's id as a field value, for the service and the answer.
#[derive(Debug)]
pub(crate) struct RequestName(Option<HeaderValue>);

const fn uuid_length() -> usize {
    "00000000-0000-0000-0000-000000000000".len()
}

/// Logs the fault at a level by its blame: debug for the client's errors, more for those of services and the
/// host. `left_out` is the number of faults of its kind that were not logged since the last.
pub(crate) fn log(fault: &Fault, scope: &Arc<RequestScope>, left_out: u64) {
    let left_out = (left_out > 0).then_some(left_out);
    let middleware = fault.middleware();
    macro_rules! line {
        ($level:expr) => {
            tracing::event!(
                target: "headwater::server",
                parent: None,
                $level,
                request_id = %scope.id(),
                service = &**scope.service(),
                route = &**scope.route(),
                host = scope.host().map(Authority::as_str),
                blame = fault.blame().as_str(),
                kind = fault.kind(),
                status = fault.status().as_u16(),
                middleware = middleware.map(|(name, _)| name),
                service_reached = middleware.map(|(_, reached)| reached),
                cause = fault.cause(),
                left_out,
                "{}",
                fault.summary(),
            )
        };
    }
    match fault.blame() {
        Blame::Client => line!(tracing::Level::DEBUG),
        Blame::Upstream | Blame::Overload => line!(tracing::Level::WARN),
        Blame::Guest | Blame::Host => line!(tracing::Level::ERROR),
    }
}

// === impl RequestName ===

impl RequestName {
    pub(crate) fn new(id: RequestId) -> Self {
        let mut text = [0; uuid_length()];
        let text: &str = id.as_uuid().as_hyphenated().encode_lower(&mut text);
        Self(HeaderValue::from_str(text).ok())
    }

    /// Sets the id field for the last time.
    pub(crate) fn put_last(&mut self, headers: &mut HeaderMap) {
        // Moves the value, which is cheaper than a clone.
        if let Some(value) = self.0.take() {
            headers.insert(X_REQUEST_ID, value);
        }
    }

    /// Sets the id field, replacing any value.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if let Some(value) = &self.0 {
            headers.insert(X_REQUEST_ID, value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_replaces_every_other() {
        let id = RequestId::new();
        let mut headers = HeaderMap::new();
        headers.append("x-request-id", HeaderValue::from_static("a"));
        headers.append("x-request-id", HeaderValue::from_static("b"));
        RequestName::new(id).put(&mut headers);
        let values: Vec<_> = headers.get_all("x-request-id").iter().collect();
        assert_eq!(values, [id.to_string().as_str()]);
    }
}
