use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::{HeaderName, HeaderValue, StatusCode};

/// Whose fault it is that a request got no proper answer.
///
/// The status code, the log level and the metric label follow from this value and from nothing else.
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
    /// A bound was reached (503 with `Retry-After`).
    Overload,
}

/// The kind of a missed deadline.
const DEADLINE: &str = "deadline";

/// Why a request got no proper answer.
///
/// `summary` may be shown to the client; the source is for the log only.
#[derive(Debug)]
pub struct Fault {
    blame: Blame,
    status: StatusCode,
    kind: &'static str,
    summary: Cow<'static, str>,
    retry_after: Option<Duration>,
    fields: Vec<(HeaderName, HeaderValue)>,
    source: Option<Box<dyn Error + Send + Sync>>,
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

    /// The request had come through this host too often: 508. Whoever made it is to blame, be it a
    /// guest of the same host.
    #[must_use]
    pub fn loop_detected() -> Self {
        Self::new(
            Blame::Client,
            StatusCode::LOOP_DETECTED,
            "loop_detected",
            "the request goes round in circles",
        )
    }

    /// The request can only be answered by a server that knows more than this one: 501. Whoever made it
    /// is to blame.
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

    /// The response was cut after its head, because of this. If that is a fault, it is of the same kind.
    #[must_use]
    pub fn cut(error: &(dyn Error + Send + Sync + 'static)) -> Self {
        let summary = "the response was cut";
        match error.downcast_ref::<Self>() {
            Some(fault) => {
                let mut cut = Self::new(fault.blame, fault.status, fault.kind, summary);
                cut.source = fault.cause().map(Into::into);
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

    /// The guest computed for longer than one request may: 500. Nobody else is to blame for it, as a
    /// slow upstream might be for a missed deadline.
    #[must_use]
    pub fn cpu_time() -> Self {
        Self::new(
            Blame::Guest,
            StatusCode::INTERNAL_SERVER_ERROR,
            "cpu_time",
            "the service computed for too long",
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

    /// A bound was reached: 503 with `Retry-After`.
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

    /// A client, or all of them together, asked more often than they may: 429 with `Retry-After`.
    /// `kind` says whose rate it is.
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

    /// The same fault with a field for its answer that goes with the status, as `Allow` goes with 405.
    #[must_use]
    pub fn with_field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The same fault with another sentence for the client.
    #[must_use]
    pub fn summarized(mut self, summary: impl Into<Cow<'static, str>>) -> Self {
        self.summary = summary.into();
        self
    }

    /// The same fault with its cause, for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether it is a missed deadline, as [`deadline`](Self::deadline) makes it.
    #[must_use]
    pub fn is_deadline(&self) -> bool {
        self.kind == DEADLINE
    }

    /// Whose fault it is.
    #[must_use]
    pub fn blame(&self) -> Blame {
        self.blame
    }

    /// The status code for the client.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A short stable label, for the attribute `error.type` and for metrics.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// When the client may try again.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The fields of its answer that go with the status.
    #[must_use]
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }

    /// The sentence that the client may see.
    #[must_use]
    pub fn summary(&self) -> &str {
        &self.summary
    }

    /// The cause with all that it rests on, on one line, for the log.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        self.source.as_deref().map(|error| explain(error))
    }

    /// The innermost cause, in short. Not for the client.
    #[must_use]
    pub fn root_cause(&self) -> Option<String> {
        self.source.as_deref().map(|error| root_cause(error))
    }
}

/// An error with all that it rests on, on one line; what it says of its source itself is not said
/// again.
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

/// The innermost of the errors that an error rests on, on one line of at most 200 characters: what a person
/// wants to know first.
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
    /// The metric label.
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
