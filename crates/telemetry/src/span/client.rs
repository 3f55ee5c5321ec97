use std::borrow::Cow;
use std::net::SocketAddr;

use headwater_core::{Attribution, Doubt, SpanContext};
use http::{Method, StatusCode, Uri, Version};
use tracing::Span;
use tracing::field::Empty;
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::{OTHER_METHOD, TARGET, context, known_method, protocol_version, start, url};
use crate::attributes::*;
use crate::metrics::OutgoingMeasure;

/// The span of an outgoing request, by the semantic conventions for HTTP clients.
///
/// It has no `http.request.resend_count`: the host never resends a request that has reached the wire.
///
/// It is a child of the server span of the request that it is attributed to, even if that has ended; a root
/// if there is none. It ends when it is dropped.
#[derive(Debug)]
pub struct ClientSpan {
    span: Span,
    context: SpanContext,
    response: Option<(StatusCode, Version)>,
    error: Option<Cow<'static, str>>,
    measure: OutgoingMeasure,
}

/// The parts of a [`ClientSpan`].
#[derive(Debug)]
pub struct ClientRequest<'a> {
    /// The attribution of the outgoing request.
    pub attribution: &'a Attribution,
    /// The service whose guest calls out.
    pub service: &'a str,
    /// The method.
    pub method: &'a Method,
    /// The absolute URI.
    pub uri: &'a Uri,
}

impl ClientSpan {
    /// Starts the span of an outgoing request.
    #[must_use]
    pub fn start(request: ClientRequest<'_>) -> Self {
        let parent = request.attribution.scope().map(|scope| scope.span());
        let (span, own) = start(parent, || new_span(&request));
        for candidate in request.attribution.candidates() {
            span.add_link(candidate.span().clone());
        }
        if let Some(scope) = request.attribution.scope() {
            context::show(&span, scope.context());
        }
        Self {
            span,
            context: own,
            response: None,
            error: None,
            measure: OutgoingMeasure::default(),
        }
    }

    /// Also measures the duration, until the span ends.
    #[must_use]
    pub fn measured_by(mut self, measure: OutgoingMeasure) -> Self {
        self.measure = measure;
        self
    }

    /// Returns the span's own context, for the outgoing request's `traceparent`. Always valid.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Links the span to one of another trace, such as that of a `traceparent` which the guest set and the
    /// host replaced.
    pub fn link(&self, other: &SpanContext) {
        self.span.add_link(other.clone());
    }

    /// Records the request's connection: its peer, and if it had served another request before.
    pub fn connection(&mut self, peer: Option<SocketAddr>, reused: bool) {
        let span = &self.span;
        if span.is_disabled() {
            return;
        }
        tracing::record_all!(
            span,
            { NETWORK_PEER_ADDRESS } = peer.map(|peer| tracing::field::display(peer.ip())),
            { NETWORK_PEER_PORT } = peer.map(|peer| i64::from(peer.port())),
            { CONNECTION_REUSED } = reused,
        );
    }

    /// Records the upstream's answer. For a client 4xx and 5xx are errors.
    pub fn response(&mut self, status: StatusCode, version: Version) {
        self.response = Some((status, version));
    }

    /// Records why the answer is missing or incomplete. `kind` is a short stable label such as `timeout`.
    pub fn error(&mut self, kind: impl Into<Cow<'static, str>>) {
        self.error = Some(kind.into());
    }
}

impl Drop for ClientSpan {
    fn drop(&mut self) {
        let status = self.response.map(|(status, _)| status);
        let version = self
            .response
            .and_then(|(_, version)| protocol_version(version));
        let error = match (self.error.take(), &status) {
            (Some(kind), _) => Some(kind),
            (None, Some(status)) if status.is_client_error() || status.is_server_error() => {
                Some(Cow::Owned(status.as_str().to_owned()))
            }
            (None, _) => None,
        };
        let span = &self.span;
        tracing::record_all!(
            span,
            { HTTP_RESPONSE_STATUS_CODE } = status.map(|status| i64::from(status.as_u16())),
            { NETWORK_PROTOCOL_NAME } = version.map(|_| "http"),
            { NETWORK_PROTOCOL_VERSION } = version,
            otel.status_code = error.as_ref().map(|_| "ERROR"),
            { ERROR_TYPE } = error.as_deref(),
        );
        self.measure.end(status, version, error);
    }
}

fn new_span(request: &ClientRequest<'_>) -> Span {
    let &ClientRequest {
        attribution,
        service,
        method,
        uri,
    } = request;
    let known = known_method(method);
    let scheme = uri.scheme_str();
    let (address, port) = uri
        .authority()
        .map(|authority| url::address_and_port(authority, scheme.unwrap_or("http")))
        .unzip();
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "client",
        // A client has no low-cardinality route to name the span by.
        otel.name = known.unwrap_or("HTTP"),
        otel.kind = "client",
        otel.status_code = Empty,
        { HTTP_REQUEST_METHOD } = known.unwrap_or(OTHER_METHOD),
        { HTTP_REQUEST_METHOD_ORIGINAL } = known.is_none().then_some(method.as_str()),
        { URL_FULL } = %url::Full(uri),
        { URL_SCHEME } = scheme,
        { SERVER_ADDRESS } = address,
        { SERVER_PORT } = port.flatten().map(i64::from),
        { ATTRIBUTION } = attribution.verdict().as_str(),
        { ATTRIBUTION_WITNESS } = attribution.witness().as_str(),
        { ATTRIBUTION_CANDIDATES } = candidates(attribution),
        { ATTRIBUTION_DOUBT } = attribution.doubt().map(Doubt::as_str),
        { ATTRIBUTION_DISAGREEMENT } = attribution.is_against_the_stack().then_some(true),
        { REQUEST_ID } = attribution.scope().map(|scope| tracing::field::display(scope.id())),
        { SERVICE } = service,
        { HTTP_RESPONSE_STATUS_CODE } = Empty,
        { NETWORK_PEER_ADDRESS } = Empty,
        { NETWORK_PEER_PORT } = Empty,
        { CONNECTION_REUSED } = Empty,
        { NETWORK_PROTOCOL_NAME } = Empty,
        { NETWORK_PROTOCOL_VERSION } = Empty,
        { ERROR_TYPE } = Empty,
    )
}

pub(super) fn candidates(attribution: &Attribution) -> Option<String> {
    let ids = attribution.candidates().iter();
    let ids: Vec<_> = ids.map(|scope| scope.id().to_string()).collect();
    (!ids.is_empty()).then(|| ids.join(","))
}
