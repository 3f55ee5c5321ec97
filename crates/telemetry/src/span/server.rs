use std::borrow::Cow;
use std::fmt;
use std::net::SocketAddr;

use headwater_core::{Caller, Counters, Fault, RequestContext, RequestId, SpanContext};
use http::header::{HOST, HeaderMap, USER_AGENT};
use http::uri::Authority;
use http::{Method, StatusCode, Uri, Version};
use tracing::Span;
use tracing::field::Empty;

use super::{OTHER_METHOD, TARGET, context, known_method, protocol_version, start, url};
use crate::attributes::*;
use crate::propagation;

/// The span of an incoming request, by the semantic conventions for HTTP servers.
///
/// It ends when it is ended or dropped, and then records the response.
#[derive(Debug)]
pub struct ServerSpan {
    pub(super) span: Span,
    context: SpanContext,
    outcome: Outcome,
}

/// The parts of a [`ServerSpan`].
#[derive(Debug)]
pub struct ServerRequest<'a> {
    /// The id that the front gave the request.
    pub id: RequestId,
    /// The method.
    pub method: &'a Method,
    /// The URI, absolute if the front knows the scheme; otherwise the scheme counts as `http`.
    pub uri: &'a Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The headers. `Host`, `User-Agent` and `x-request-id` are read.
    pub headers: &'a HeaderMap,
    /// The service that answers. Empty if there is none.
    pub service: &'a str,
    /// The route pattern that matched. Empty if none did.
    pub route: &'a str,
    /// The peer address of the client's connection.
    pub client: Option<SocketAddr>,
    /// The listener's address, used if the request names no host.
    pub server: Option<SocketAddr>,
    /// The caller's span, see [`propagation::extract`].
    pub parent: Option<&'a SpanContext>,
    /// The caller, if another service of the same host makes the request.
    pub caller: Option<&'a Caller>,
}

/// The outcome, recorded once at the end: attributes that are set twice would be sent twice.
#[derive(Debug, Default)]
struct Outcome {
    status: Option<StatusCode>,
    fault: Option<FaultLabels>,
    counters: Option<Counts>,
}

#[derive(Debug)]
struct FaultLabels {
    kind: &'static str,
    blame: &'static str,
    status: StatusCode,
    cause: Option<String>,
    /// The middleware that failed, and true if the service behind it had got the request.
    middleware: Option<(String, bool)>,
}

#[derive(Debug)]
struct Counts {
    outgoing: u64,
    outgoing_denied: u64,
    outgoing_sent_bytes: u64,
    outgoing_received_bytes: u64,
    request_bytes: u64,
    response_bytes: u64,
    log_lines: u64,
    cpu_nanos: u64,
}

impl ServerSpan {
    /// Starts the span of a request.
    #[must_use]
    pub fn start(request: ServerRequest<'_>) -> Self {
        let (span, context) = start(request.parent, || new_span(&request));
        Self {
            span,
            context,
            outcome: Outcome::default(),
        }
    }

    /// Returns the span's own context. Always valid.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        &self.context
    }

    /// Records the status sent to the client.
    pub fn response(&mut self, status: StatusCode) {
        self.outcome.status = Some(status);
    }

    /// Records why the request got no proper answer. The status is the fault's, unless another one
    /// was sent: a fault may come after the response head.
    pub fn fault(&mut self, fault: &Fault) {
        self.outcome.fault = Some(FaultLabels {
            kind: fault.kind(),
            blame: fault.blame().as_str(),
            status: fault.status(),
            // Not needed if the span is disabled.
            cause: (!self.span.is_disabled())
                .then(|| fault.root_cause())
                .flatten(),
            middleware: fault
                .middleware()
                .filter(|_| !self.span.is_disabled())
                .map(|(name, reached)| (name.to_owned(), reached)),
        });
    }

    /// Records the request's counters. The last call counts.
    pub fn counters(&mut self, counters: &Counters) {
        if self.span.is_disabled() {
            return;
        }
        self.outcome.counters = Some(Counts {
            outgoing: Counters::get(&counters.outgoing),
            outgoing_denied: Counters::get(&counters.outgoing_denied),
            outgoing_sent_bytes: Counters::get(&counters.outgoing_sent_bytes),
            outgoing_received_bytes: Counters::get(&counters.outgoing_received_bytes),
            request_bytes: Counters::get(&counters.request_bytes),
            response_bytes: Counters::get(&counters.response_bytes),
            log_lines: Counters::get(&counters.log_lines),
            cpu_nanos: Counters::get(&counters.cpu_nanos),
        });
    }

    /// Records the values of the request's context that spans may show. To be called once, at the end.
    pub fn context_values(&self, values: &RequestContext) {
        context::show(&self.span, values);
    }

    /// Returns the status that was sent, if known.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        self.outcome.sent()
    }

    /// Returns the value of `error.type`, if there was an error.
    #[must_use]
    pub fn error(&self) -> Option<Cow<'static, str>> {
        self.outcome.error()
    }

    /// Ends the span, as dropping it does.
    pub fn end(self) {}
}

impl Drop for ServerSpan {
    fn drop(&mut self) {
        self.outcome.record(&self.span);
    }
}

impl Outcome {
    fn sent(&self) -> Option<StatusCode> {
        self.status
            .or(self.fault.as_ref().map(|fault| fault.status))
    }

    /// Returns true for a server error, or an answer cut off for the server's reasons.
    fn failed(&self) -> bool {
        let fault = self.fault.as_ref().map(|fault| fault.status);
        fault
            .or(self.status)
            .is_some_and(|status| status.is_server_error())
    }

    fn error(&self) -> Option<Cow<'static, str>> {
        match (&self.fault, self.status) {
            (Some(fault), _) => Some(fault.kind.into()),
            // The conventions' `error.type` for a failure without a better name.
            (None, Some(status)) if self.failed() => Some(status.as_str().to_owned().into()),
            (None, _) => None,
        }
    }

    fn record(&self, span: &Span) {
        if span.is_disabled() {
            return;
        }
        let Self {
            status: _,
            fault,
            counters,
        } = self;
        let error = self.error();
        let middleware = fault.as_ref().and_then(|fault| fault.middleware.as_ref());
        let count = |of: fn(&Counts) -> u64| counters.as_ref().map(|counts| integer(of(counts)));
        // The conventions leave the status unset for 4xx, and its description empty.
        tracing::record_all!(
            span,
            { HTTP_RESPONSE_STATUS_CODE } = self.sent().map(|status| i64::from(status.as_u16())),
            otel.status_code = self.failed().then_some("ERROR"),
            { ERROR_TYPE } = error.as_deref(),
            { FAULT } = fault.as_ref().map(|fault| fault.blame),
            { FAULT_CAUSE } = fault.as_ref().and_then(|fault| fault.cause.as_deref()),
            { MIDDLEWARE } = middleware.map(|(name, _)| name.as_str()),
            { SERVICE_REACHED } = middleware.map(|(_, reached)| *reached),
            { OUTGOING_REQUESTS } = count(|counts| counts.outgoing),
            { OUTGOING_DENIED } = count(|counts| counts.outgoing_denied),
            { OUTGOING_SENT_BYTES } = count(|counts| counts.outgoing_sent_bytes),
            { OUTGOING_RECEIVED_BYTES } = count(|counts| counts.outgoing_received_bytes),
            { HTTP_REQUEST_BODY_SIZE } = count(|counts| counts.request_bytes),
            { HTTP_RESPONSE_BODY_SIZE } = count(|counts| counts.response_bytes),
            { LOG_LINES } = count(|counts| counts.log_lines),
            { CPU_NANOS } = count(|counts| counts.cpu_nanos).filter(|nanos| *nanos > 0),
        );
    }
}

/// Converts to `i64`: `tracing-opentelemetry` writes a `u64` as text; attributes are signed.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn new_span(request: &ServerRequest<'_>) -> Span {
    let &ServerRequest {
        id,
        method,
        uri,
        version,
        headers,
        service,
        route,
        client,
        server,
        parent: _,
        caller,
    } = request;
    let called_for = caller.and_then(|caller| caller.scope.as_ref());
    let known = known_method(method);
    // A request without a matching route has neither, and its span is named by the method alone.
    let (service, route) = (non_empty(service), non_empty(route));
    let name = fmt::from_fn(|f| {
        f.write_str(known.unwrap_or("HTTP"))?;
        route.map_or(Ok(()), |route| write!(f, " {route}"))
    });
    let scheme = uri.scheme_str().unwrap_or("http");
    let (address, port) = server_address(uri, headers, scheme, server);
    let peer = client.map(|client| client.ip().to_string());
    let peer = peer.as_deref();
    tracing::info_span!(
        target: TARGET,
        parent: None,
        "server",
        otel.name = %name,
        otel.kind = "server",
        otel.status_code = Empty,
        { HTTP_REQUEST_METHOD } = known.unwrap_or(OTHER_METHOD),
        { HTTP_REQUEST_METHOD_ORIGINAL } = known.is_none().then_some(method.as_str()),
        { URL_SCHEME } = scheme,
        { URL_PATH } = uri.path(),
        { URL_QUERY } = uri.query(),
        { HTTP_ROUTE } = route,
        { SERVER_ADDRESS } = address,
        { SERVER_PORT } = port.map(i64::from),
        // The connection's peer; proxies' headers are not trusted yet.
        { CLIENT_ADDRESS } = peer,
        { NETWORK_PEER_ADDRESS } = peer,
        { NETWORK_PEER_PORT } = client.map(|client| i64::from(client.port())),
        { NETWORK_PROTOCOL_VERSION } = protocol_version(version),
        { USER_AGENT_ORIGINAL } = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()),
        { REQUEST_ID } = %id,
        { SERVICE } = service,
        { CALLER_SERVICE } = caller.map(|caller| &*caller.service),
        { CALLER_REQUEST_ID } = called_for.map(|scope| tracing::field::display(scope.id())),
        { CLIENT_REQUEST_ID } = propagation::client_request_id(headers),
        { HTTP_RESPONSE_STATUS_CODE } = Empty,
        { ERROR_TYPE } = Empty,
        { FAULT } = Empty,
        { FAULT_CAUSE } = Empty,
        { MIDDLEWARE } = Empty,
        { SERVICE_REACHED } = Empty,
        { OUTGOING_REQUESTS } = Empty,
        { OUTGOING_DENIED } = Empty,
        { OUTGOING_SENT_BYTES } = Empty,
        { OUTGOING_RECEIVED_BYTES } = Empty,
        { HTTP_REQUEST_BODY_SIZE } = Empty,
        { HTTP_RESPONSE_BODY_SIZE } = Empty,
        { LOG_LINES } = Empty,
        { CPU_NANOS } = Empty,
    )
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

/// Returns the host that the client asked for, or else the address that it connected to.
fn server_address(
    uri: &Uri,
    headers: &HeaderMap,
    scheme: &str,
    server: Option<SocketAddr>,
) -> (Option<String>, Option<u16>) {
    let host = || {
        let host = headers.get(HOST)?;
        Authority::try_from(host.as_bytes()).ok()
    };
    match uri.authority().cloned().or_else(host) {
        Some(authority) => {
            let (address, port) = url::address_and_port(&authority, scheme);
            (Some(address), port)
        }
        None => (
            server.map(|server| server.ip().to_string()),
            server.map(|server| server.port()),
        ),
    }
}
