use std::sync::Arc;

use headwater_core::{Attribution, Doubt, SpanContext};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::client::candidates;
use super::{TARGET, start};
use crate::attributes::*;

/// A guest's call of a function of a host interface.
#[derive(Debug, Clone, Copy)]
pub struct GuestCall<'a> {
    /// The service whose guest calls.
    pub service: &'a Arc<str>,
    /// The interface, without its version: `acme:quota/left`.
    pub interface: &'static str,
    /// The function.
    pub function: &'static str,
}

/// The result of a call of a host interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// The call succeeded.
    Ok,
    /// The interface returned an error.
    Error,
    /// The guest did not wait for the end, or the call trapped.
    Dropped,
}

/// The span of a guest's call of a host interface, by the semantic conventions for RPC clients. Its parent
/// and links are like those of a [`ClientSpan`](super::ClientSpan).
#[derive(Debug)]
pub struct CallSpan {
    span: Span,
    context: SpanContext,
}

impl CallOutcome {
    /// Returns the label in spans, metrics and the audit log.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Error => "error",
            Self::Dropped => "dropped",
        }
    }
}

impl CallSpan {
    /// Starts the span of a call with this attribution.
    #[must_use]
    pub fn start(call: GuestCall<'_>, attribution: &Attribution) -> Self {
        let parent = attribution.scope().map(|scope| scope.span());
        let (span, context) = start(parent, || new_span(call, attribution));
        for candidate in attribution.candidates() {
            span.add_link(candidate.span().clone());
        }
        Self { span, context }
    }

    /// Returns the span's own context, for requests that carry out the call. Always valid.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Records the result of the call. The span ends when it is dropped.
    pub fn end(&self, outcome: CallOutcome) {
        let error = (outcome != CallOutcome::Ok).then_some(outcome.as_str());
        let span = &self.span;
        tracing::record_all!(
            span,
            otel.status_code = error.map(|_| "ERROR"),
            { ERROR_TYPE } = error,
        );
    }
}

fn new_span(call: GuestCall<'_>, attribution: &Attribution) -> Span {
    let GuestCall {
        service,
        interface,
        function,
    } = call;
    let method = format_args!("{interface}#{function}");
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "call",
        otel.name = %method,
        otel.kind = "client",
        otel.status_code = Empty,
        { RPC_SYSTEM_NAME } = "wit",
        { RPC_METHOD } = %method,
        { ATTRIBUTION } = attribution.verdict().as_str(),
        { ATTRIBUTION_WITNESS } = attribution.witness().as_str(),
        { ATTRIBUTION_CANDIDATES } = candidates(attribution),
        { ATTRIBUTION_DOUBT } = attribution.doubt().map(Doubt::as_str),
        { REQUEST_ID } = attribution.scope().map(|scope| tracing::field::display(scope.id())),
        { SERVICE } = &**service,
        { ERROR_TYPE } = Empty,
    )
}
