//! Values of a request's context in spans.

use headwater_core::RequestContext;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use crate::attributes::CONTEXT;

/// Adds an attribute for each value that spans may show. Their names are known only now, so they cannot be
/// fields of the span.
pub(super) fn show(span: &Span, context: &RequestContext) {
    if span.is_disabled() {
        return;
    }
    for (name, value) in context.traced() {
        span.set_attribute(format!("{CONTEXT}.{name}"), value.to_string());
    }
}
