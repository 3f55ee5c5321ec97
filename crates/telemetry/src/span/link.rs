use std::borrow::Cow;
use std::sync::Arc;

use headwater_core::{Attribution, Fault, RequestId, SpanContext};
use http::StatusCode;
use tracing::Span;
use tracing::field::Empty;

use super::{TARGET, start};
use crate::attributes::*;

/// The span of one link of a chain: a middleware, or the service behind middlewares.
///
/// Its parent is the link that called it; the parent of the first is the server span. It ends when it is
/// dropped.
#[derive(Debug)]
pub struct LinkSpan {
    span: Span,
    context: SpanContext,
    status: Option<StatusCode>,
    fault: Option<(&'static str, &'static str)>,
}

/// The parts of a [`LinkSpan`].
#[derive(Debug)]
pub struct LinkRequest<'a> {
    /// The id of the request.
    pub id: RequestId,
    /// The span of the link that calls, or the server span.
    pub parent: &'a SpanContext,
    /// The middleware or the service.
    pub service: &'a Arc<str>,
    /// True for a middleware.
    pub is_middleware: bool,
    /// The attribution of the call, if a middleware makes it.
    pub attribution: Option<&'a Attribution>,
}

// === impl LinkSpan ===

impl LinkSpan {
    /// Starts the span of a link.
    #[must_use]
    pub fn start(request: &LinkRequest<'_>) -> Self {
        let (span, context) = start(Some(request.parent), || new_span(request));
        Self {
            span,
            context,
            status: None,
            fault: None,
        }
    }

    /// Returns the span's own context. Always valid.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Records the status of the link's response.
    pub fn response(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Records why the link gave no proper response.
    pub fn fault(&mut self, fault: &Fault) {
        self.fault = Some((fault.kind(), fault.blame().as_str()));
        if self.span.is_disabled() {
            return;
        }
        let span = &self.span;
        tracing::record_all!(
            span,
            { FAULT_CAUSE } = fault.root_cause().as_deref(),
            { SERVICE_REACHED } = fault.middleware().map(|(_, reached)| reached),
        );
    }

    /// Records that a middleware failed before it touched the request, which went on without it.
    pub fn passed_open(&mut self) {
        let span = &self.span;
        tracing::record_all!(span, { FAILED_OPEN } = true);
    }
}

impl Drop for LinkSpan {
    fn drop(&mut self) {
        let failed = self.status.is_some_and(|status| status.is_server_error());
        let error = match (&self.fault, self.status) {
            (Some((kind, _)), _) => Some(Cow::Borrowed(*kind)),
            (None, Some(status)) if failed => Some(Cow::Owned(status.as_str().to_owned())),
            (None, _) => None,
        };
        let span = &self.span;
        tracing::record_all!(
            span,
            { HTTP_RESPONSE_STATUS_CODE } = self.status.map(|status| i64::from(status.as_u16())),
            otel.status_code = error.as_ref().map(|_| "ERROR"),
            { ERROR_TYPE } = error.as_deref(),
            { FAULT } = self.fault.map(|(_, blame)| blame),
        );
    }
}

fn new_span(request: &LinkRequest<'_>) -> Span {
    let &LinkRequest {
        id,
        parent: _,
        service,
        is_middleware,
        attribution,
    } = request;
    let kind = if is_middleware {
        "middleware"
    } else {
        "service"
    };
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "link",
        otel.name = %format_args!("{kind} {service}"),
        otel.kind = "internal",
        otel.status_code = Empty,
        { REQUEST_ID } = %id,
        { SERVICE } = &**service,
        { MIDDLEWARE } = is_middleware.then_some(&**service),
        { ATTRIBUTION } = attribution.map(|attribution| attribution.verdict().as_str()),
        { ATTRIBUTION_WITNESS } = attribution.map(|attribution| attribution.witness().as_str()),
        { HTTP_RESPONSE_STATUS_CODE } = Empty,
        { ERROR_TYPE } = Empty,
        { FAULT } = Empty,
        { FAULT_CAUSE } = Empty,
        { SERVICE_REACHED } = Empty,
        { FAILED_OPEN } = Empty,
    )
}
