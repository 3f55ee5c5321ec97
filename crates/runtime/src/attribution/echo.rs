use headwater_core::{RequestId, RequestScope, SpanId, TraceId};
use headwater_telemetry::propagation;
use http::HeaderMap;

/// The values of an incoming request that the headers of an outgoing request repeat.
///
/// The guest got both: `traceparent` with the server span of the request, and `x-request-id`. The
/// trace id alone is not an echo: several requests of one instance may belong to one trace.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Names {
    span: Option<(TraceId, SpanId)>,
    id: Option<RequestId>,
}

impl Names {
    pub(crate) fn read(headers: &HeaderMap) -> Self {
        Self {
            span: propagation::traceparent(headers),
            id: propagation::request_id(headers),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.span.is_none() && self.id.is_none()
    }

    /// Returns true if `traceparent` names this request.
    pub(crate) fn by_span(&self, scope: &RequestScope) -> bool {
        let span = scope.span();
        self.span == Some((span.trace_id(), span.span_id()))
    }

    /// Returns true if `x-request-id` names this request.
    pub(crate) fn by_id(&self, scope: &RequestScope) -> bool {
        self.id == Some(scope.id())
    }
}
