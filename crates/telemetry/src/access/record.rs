use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::{AccessFormat, Caller, Fault, RequestScope};
use http::header::{HeaderMap, HeaderValue, REFERER, USER_AGENT};
use http::uri::PathAndQuery;
use http::{Method, StatusCode, Uri, Version};

use super::Logger;

/// The start of a request.
#[derive(Debug)]
pub struct AccessStart<'a> {
    /// Its scope, whose counters are read when it is over.
    pub scope: &'a Arc<RequestScope>,
    /// The method.
    pub method: &'a Method,
    /// The URI. Only its path is logged.
    pub uri: &'a Uri,
    /// The version of HTTP.
    pub version: Version,
    /// The headers. `User-Agent` and `Referer` are read.
    pub headers: &'a HeaderMap,
    /// The caller, if another service of the same host makes the request.
    pub caller: Option<&'a Caller>,
}

/// The access log entry of one request. Nothing is written unless it is ended.
#[derive(Default)]
pub struct AccessEntry(Option<Entry>);

struct Entry {
    logger: Arc<Logger>,
    record: Record,
}

pub(super) struct Record {
    pub(super) scope: Arc<RequestScope>,
    pub(super) method: Method,
    path: Option<PathAndQuery>,
    pub(super) version: Version,
    pub(super) user_agent: Option<HeaderValue>,
    /// Only for the combined format, which requires it: it may hold a query.
    pub(super) referer: Option<HeaderValue>,
    pub(super) caller: Option<Caller>,
    pub(super) status: Option<StatusCode>,
    pub(super) fault: Option<(&'static str, StatusCode)>,
    pub(super) first_byte: Option<Duration>,
    pub(super) total: Duration,
}

// === impl AccessEntry ===

impl AccessEntry {
    pub(super) fn new(logger: &Arc<Logger>, start: AccessStart<'_>) -> Self {
        let headers = start.headers;
        let referer = logger.format == AccessFormat::Combined;
        Self(Some(Entry {
            logger: Arc::clone(logger),
            record: Record {
                scope: Arc::clone(start.scope),
                method: start.method.clone(),
                path: start.uri.path_and_query().cloned(),
                version: start.version,
                user_agent: headers.get(USER_AGENT).cloned(),
                referer: referer.then(|| headers.get(REFERER).cloned()).flatten(),
                caller: start.caller.cloned(),
                status: None,
                fault: None,
                first_byte: None,
                total: Duration::ZERO,
            },
        }))
    }

    /// Records that the response head is decided, with its status.
    pub fn answered(&mut self, status: StatusCode) {
        if let Some(entry) = &mut self.0 {
            entry.record.status = Some(status);
            entry.record.first_byte = Some(entry.record.elapsed());
        }
    }

    /// Records that the request got no proper answer, or its answer was cut off.
    pub fn failed(&mut self, fault: &Fault) {
        if let Some(entry) = &mut self.0 {
            entry.record.fault = Some((fault.kind(), fault.status()));
        }
    }

    /// Ends the entry and writes it. Later calls have no effect.
    pub fn end(&mut self) {
        if let Some(Entry { logger, mut record }) = self.0.take() {
            record.total = record.elapsed();
            logger.note(&record);
        }
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
    /// Returns the path without the query, which may hold secrets.
    pub(super) fn path(&self) -> &str {
        self.path.as_ref().map_or("", PathAndQuery::path)
    }

    fn elapsed(&self) -> Duration {
        self.scope.started().elapsed()
    }

    /// Returns true for a server error, or an answer cut off for the server's reasons.
    pub(super) fn failed(&self) -> bool {
        let fault = self.fault.map(|(_, status)| status);
        let mut statuses = self.status.into_iter().chain(fault);
        statuses.any(|status| status.is_server_error())
    }

    /// Returns the version as a request line writes it.
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
