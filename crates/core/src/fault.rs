use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

/// The party at fault if a request got no proper answer.
///
/// The status code, the log level and the metric label follow from this value alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request was wrong (4xx).
    Client,
    /// The guest trapped, returned an error, or emitted no valid response (500), or missed its
    /// deadline (504).
    Guest,
    /// Something that the guest called failed (502, 504).
    Upstream,
    /// Headwater, or the machine it runs on, failed (500).
    Host,
    /// A limit was reached (503 with `Retry-After`).
    Overload,
}

const DEADLINE: &str = "deadline";

/// The reason why a request got no proper answer.
///
/// `summary` may be shown to the client; the source is only logged.
#[derive(Debug)]
pub struct Fault {
    blame: Blame,
    status: StatusCode,
    kind: &'static str,
    summary: Cow<'static, str>,
    retry_after: Option<Duration>,
    fields: Vec<(HeaderName, HeaderValue)>,
    source: Option<Box<dyn Error + Send + Sync>>,
    // Boxed: a fault is returned by value, and few have one.
    middleware: Option<Box<FailedMiddleware>>,
    /// True if the guest returned an error in place of a response.
    is_error_code: bool,
}

/// The middleware that a fault comes from.
#[derive(Debug, Clone)]
struct FailedMiddleware {
    name: Arc<str>,
    /// True if the service behind it had got the request.
    reached: bool,
}

impl Fault {
    fn new(
        blame: Blame,
        status: StatusCode,
        kind: &'static str,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            blame,
            status,
            kind,
            summary: summary.into(),
            retry_after: None,
            fields: Vec::new(),
            source: None,
            middleware: None,
            is_error_code: false,
        }
    }

    /// The request was wrong. `kind` is a short stable label such as `not_found`.
    #[must_use]
    pub fn client(
        status: StatusCode,
        kind: &'static str,
        summary: impl Into<Cow<'static, str>>,
    ) -> Self {
        debug_assert!(status.is_client_error());
        Self::new(Blame::Client, status, kind, summary)
    }

    /// The request passed through this host too often: 508. The sender is to blame, even if it is a guest of
    /// the same host.
    #[must_use]
    pub fn loop_detected() -> Self {
        Self::new(
            Blame::Client,
            StatusCode::LOOP_DETECTED,
            "loop_detected",
            "the request is in a loop",
        )
    }

    /// The request needs something that this server does not implement: 501. The sender is to blame.
    #[must_use]
    pub fn not_implemented(kind: &'static str, summary: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Blame::Client, StatusCode::NOT_IMPLEMENTED, kind, summary)
    }

    /// The guest trapped, or exited in the middle of a request: 500.
    #[must_use]
    pub fn trap() -> Self {
        Self::new(
            Blame::Guest,
            StatusCode::INTERNAL_SERVER_ERROR,
            "trap",
            "the service failed",
        )
    }

    /// The guest ended without a valid response, or returned an error in place of one: 500.
    #[must_use]
    pub fn bad_response(summary: impl Into<Cow<'static, str>>) -> Self {
        Self::new(
            Blame::Guest,
            StatusCode::INTERNAL_SERVER_ERROR,
            "bad_response",
            summary,
        )
    }

    /// The guest returned this error in place of a response: 500.
    #[must_use]
    pub fn error_code(code: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let mut fault = Self::bad_response("the service returned an error in place of a response")
            .caused_by(code);
        fault.is_error_code = true;
        fault
    }

    /// The response was cut off after its head, because of this error. If that is a fault, the new one has
    /// the same kind.
    #[must_use]
    pub fn cut(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        let summary = "the response was cut";
        match error.downcast_ref::<Self>() {
            Some(fault) => {
                let mut cut = Self::new(fault.blame, fault.status, fault.kind, summary);
                cut.source = fault.cause().map(Into::into);
                cut.middleware.clone_from(&fault.middleware);
                cut
            }
            None => Self::bad_response(summary).caused_by(explain(error)),
        }
    }

    /// The guest had not set a response when the request's deadline passed: 504.
    #[must_use]
    pub fn deadline() -> Self {
        Self::new(
            Blame::Guest,
            StatusCode::GATEWAY_TIMEOUT,
            DEADLINE,
            "the service did not answer in time",
        )
    }

    /// The guest computed for longer than one request may: 500. Unlike a missed deadline, this cannot be the
    /// fault of a slow upstream.
    #[must_use]
    pub fn cpu_time() -> Self {
        Self::new(
            Blame::Guest,
            StatusCode::INTERNAL_SERVER_ERROR,
            "cpu_time",
            "the service computed for too long",
        )
    }

    /// The guest could not be compiled or linked at the first request that needed it: 500.
    #[must_use]
    pub fn load() -> Self {
        Self::new(
            Blame::Guest,
            StatusCode::INTERNAL_SERVER_ERROR,
            "load",
            "the service could not be loaded",
        )
    }

    /// Something that the guest called failed: 502.
    #[must_use]
    pub fn upstream() -> Self {
        Self::new(
            Blame::Upstream,
            StatusCode::BAD_GATEWAY,
            "upstream",
            "a server behind the service failed",
        )
    }

    /// Headwater or its machine failed: 500.
    #[must_use]
    pub fn host(kind: &'static str) -> Self {
        Self::new(
            Blame::Host,
            StatusCode::INTERNAL_SERVER_ERROR,
            kind,
            "the server failed",
        )
    }

    /// A limit was reached: 503 with `Retry-After`.
    #[must_use]
    pub fn overload(kind: &'static str, retry_after: Duration) -> Self {
        let mut fault = Self::new(
            Blame::Overload,
            StatusCode::SERVICE_UNAVAILABLE,
            kind,
            "the service is overloaded",
        );
        fault.retry_after = Some(retry_after);
        fault
    }

    /// A client, or all clients together, exceeded a rate limit: 429 with `Retry-After`. `kind` names the
    /// limit.
    #[must_use]
    pub fn too_many_requests(
        kind: &'static str,
        summary: impl Into<Cow<'static, str>>,
        retry_after: Duration,
    ) -> Self {
        let mut fault = Self::client(StatusCode::TOO_MANY_REQUESTS, kind, summary);
        fault.retry_after = Some(retry_after);
        fault
    }

    /// Adds a header field to the answer that goes with the status, such as `Allow` with 405.
    #[must_use]
    pub fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// Replaces the summary.
    #[must_use]
    pub fn summarized(mut self, summary: impl Into<Cow<'static, str>>) -> Self {
        self.summary = summary.into();
        self
    }

    /// Adds the cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Names the middleware that failed, unless the fault names one; `reached` is true if the service behind
    /// it had got the request.
    #[must_use]
    pub fn at_middleware(mut self, name: &Arc<str>, reached: bool) -> Self {
        self.middleware.get_or_insert_with(|| {
            Box::new(FailedMiddleware {
                name: Arc::clone(name),
                reached,
            })
        });
        self
    }

    /// Returns the middleware that failed, if it was one, and true if the service behind it had got the
    /// request.
    #[must_use]
    pub fn middleware(&self) -> Option<(&str, bool)> {
        let failed = self.middleware.as_ref()?;
        Some((&failed.name, failed.reached))
    }

    /// Returns true if the guest returned an error in place of a response, as made by
    /// [`error_code`](Self::error_code).
    #[must_use]
    pub fn is_error_code(&self) -> bool {
        self.is_error_code
    }

    /// Returns the cause, if it is an error of this type.
    #[must_use]
    pub fn source_as<E: Error + 'static>(&self) -> Option<&E> {
        self.source.as_deref()?.downcast_ref()
    }

    /// Returns true for a missed deadline, as made by [`deadline`](Self::deadline).
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        self.kind == DEADLINE
    }

    /// Returns the party at fault.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// Returns the status code for the client.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns a short stable label, for the attribute `error.type` and for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Returns the time after which the client may try again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the header fields of the answer that go with the status.
    #[must_use]
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// Returns the sentence that the client may see.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// Returns the cause and its sources on one line, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.source.as_deref().map(|error| explain(error))
    }

    /// Returns the innermost cause, shortened. Not for the client.
    #[must_use]
    pub fn root_cause(&self) -> Option<String> {
        self.source.as_deref().map(|error| root_cause(error))
    }
}

/// Returns an error and its sources on one line. A source that the text already contains is not repeated.
#[must_use]
pub fn explain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut error = error;
    while let Some(source) = error.source() {
        let source_text = source.to_string();
        if !text.contains(&source_text) {
            text.push_str(": ");
            text.push_str(&source_text);
        }
        error = source;
    }
    text
}

/// Returns the innermost source of an error, on one line of at most 200 characters: the most useful part for
/// a reader.
#[must_use]
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    const MOST: usize = 200;
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    let text = innermost.to_string();
    let line = text.lines().next().unwrap_or_default().trim();
    match line.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

impl Blame {
    /// Returns the metric label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Guest => "guest",
            Self::Upstream => "upstream",
            Self::Host => "host",
            Self::Overload => "overload",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_for_the_log_and_never_in_what_the_client_sees() {
        let fault = Fault::trap().caused_by("wasm trap: unreachable at 0x1234");
        assert_eq!(fault.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(!fault.summary().contains("unreachable"));
        assert_eq!(
            fault.cause().as_deref(),
            Some("wasm trap: unreachable at 0x1234")
        );
    }

    #[test]
    fn what_cut_a_response_says_of_which_kind_that_is() {
        let trap = Fault::trap().caused_by("unreachable");
        let cut = Fault::cut(&trap);
        assert_eq!(cut.kind(), "trap");
        assert_eq!(cut.summary(), "the response was cut");
        assert_eq!(cut.cause().as_deref(), Some("unreachable"));

        let cut = Fault::cut(&std::io::Error::other("the stream was closed"));
        assert_eq!(cut.kind(), "bad_response");
        assert_eq!(cut.cause().as_deref(), Some("the stream was closed"));
    }

    #[test]
    fn overload_says_when_to_come_back() {
        let fault = Fault::overload("queue_full", Duration::from_secs(1));
        assert_eq!(fault.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(fault.retry_after(), Some(Duration::from_secs(1)));
    }
}
