use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{AccessFormat, Caller, Fault, RequestScope};
use http::header::{HeaderMap, HeaderValue, REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::Logger;

/// What is known of a request when it begins.
#[derive(Debug)]
pub struct AccessStart<'a> {
    /// Its scope, whose counters are read when it is over.
    pub scope: &'a Arc<RequestScope>,
    /// The method.
    pub method: &'a Method,
    /// The URI, of which the path is noted.
    pub uri: &'a Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The headers. `User-Agent` and `Referer` are read.
    pub headers: &'a HeaderMap,
    /// Of a request that another service of the same host makes.
    pub caller: Option<&'a Caller>,
}

/// The note of one request. Nothing is written unless it is ended.
#[derive(Default)]
pub struct AccessEntry(Option<Entry>);

struct Entry {
    desk: Arc<Logger>,
    record: Record,
}

/// What a line tells.
pub(super) struct Record {
    pub(super) scope: Arc<RequestScope>,
    pub(super) method: Method,
    path: Option<PathAndQuery>,
    pub(super) version: Version,
    pub(super) user_agent: Option<HeaderValue>,
    /// In the combined format only, which has it by definition: it may hold a query.
    pub(super) referer: Option<HeaderValue>,
    pub(super) caller: Option<Caller>,
    pub(super) status: Option<StatusCode>,
    pub(super) fault: Option<(&'static str, StatusCode)>,
    pub(super) first_byte: Option<Duration>,
    pub(super) ended: Instant,
}

// === impl AccessEntry ===

impl AccessEntry {
    pub(super) fn new(desk: &Arc<Logger>, start: AccessStart<'_>) -> Self {
        let AccessStart {
            scope,
            method,
            uri,
            version,
            headers,
            caller,
        } = start;
        let referer = desk.format == AccessFormat::Combined;
        Self(Some(Entry {
            desk: Arc::clone(desk),
            record: Record {
                scope: Arc::clone(scope),
                method: method.clone(),
                path: uri.path_and_query().cloned(),
                version,
                user_agent: headers.get(USER_AGENT).cloned(),
                referer: referer.then(|| headers.get(REFERER).cloned()).flatten(),
                caller: caller.cloned(),
                status: None,
                fault: None,
                first_byte: None,
                ended: scope.started(),
            },
        }))
    }

    /// The response head is decided, and goes out.
    pub fn answered(&mut self, status: StatusCode) {
        if let Some(entry) = &mut self.0 {
            entry.record.status = Some(status);
            entry.record.first_byte = Some(entry.record.until(Instant::now()));
        }
    }

    /// The request got no proper answer, or its answer was cut.
    pub fn failed(&mut self, fault: &Fault) {
        if let Some(entry) = &mut self.0 {
            entry.record.fault = Some((fault.kind(), fault.status()));
        }
    }

    /// The request is over. What is called later has no effect.
    pub fn end(&mut self) {
        if let Some(entry) = &mut self.0 {
            entry.record.ended = Instant::now();
            entry.desk.note(&entry.record);
        }
        self.0 = None;
    }
}

impl fmt::Debug for AccessEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0.as_ref().map(|entry| entry.record.scope.id());
        f.debug_tuple("AccessEntry").field(&id).finish()
    }
}

// === impl Record ===

impl Record {
    /// The path, without the query, which may hold what should not be in a log.
    pub(super) fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    pub(super) fn total(&self) -> Duration {
        self.until(self.ended)
    }

    fn until(&self, then: Instant) -> Duration {
        then.saturating_duration_since(self.scope.started())
    }

    /// The server's own error, or an answer that was cut after its head for the server's reasons.
    pub(super) fn failed(&self) -> bool {
        let fault = self.fault.map(|(_, status)| status);
        let mut statuses = self.status.into_iter().chain(fault);
        statuses.any(|status| status.is_server_error())
    }

    /// The version as a request line has it.
    pub(super) fn protocol(&self) -> &'static str {
        match self.version {
            Version::HTTP_09 => "HTTP/0.9",
            Version::HTTP_10 => "HTTP/1.0",
            Version::HTTP_2 => "HTTP/2.0",
            Version::HTTP_3 => "HTTP/3.0",
            _ => "HTTP/1.1",
        }
    }
}
