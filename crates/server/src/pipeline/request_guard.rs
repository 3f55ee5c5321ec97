//! One request and its answer, from the head's arrival to the last byte.

use std::sync::Arc;

use headwater_core::{Counters, Fault, RequestScope};
use headwater_telemetry::metrics::RequestMeasure;
use headwater_telemetry::{AccessEntry, ServerSpan};
use http::{HeaderMap, StatusCode};

use crate::admission::admit::Permits;
use crate::pipeline::in_flight_requests::Listing;
use crate::request::body_wait::Wait;
use crate::response::answer::RequestName;
use crate::routing::entry::Entry;

/// What nginx calls the end of a request whose client went away.
const CLIENT_CLOSED_REQUEST: StatusCode = match StatusCode::from_u16(499) {
    Ok(status) => status,
    Err(_) => StatusCode::BAD_REQUEST,
};

/// What has to be settled when a request is over, however it ends: answered to the last byte, cut,
/// or dropped with its connection. Dropping this settles it.
///
/// It first belongs to the call of the handler and then to the response's body, so that at every
/// moment exactly one thing owns it, and that thing is dropped when nobody waits any more.
///
/// Boxed, because it is moved from hand to hand.
pub(crate) struct RequestGuard(Box<Inner>);

struct Inner {
    name: RequestName,
    scope: Arc<RequestScope>,
    // Ends when it is dropped, which is after `Drop::drop` below has run.
    span: ServerSpan,
    measure: RequestMeasure,
    access: AccessEntry,
    /// The wait for its body, if it has one.
    wait: Option<Arc<Wait>>,
    answered: bool,
    // After all else: the request counts until it is reported.
    held: Held,
}

/// What a request takes up while it lasts.
#[derive(Default)]
#[expect(dead_code, reason = "held, and never read")]
pub(crate) struct Held {
    /// Its route, and with it the router.
    pub(crate) entry: Option<Arc<Entry>>,
    /// Its places among all requests, and among those of its client and of its service.
    pub(crate) permits: Permits,
    /// Its place among those that are told.
    pub(crate) listing: Option<Listing>,
}

/// The client went away before its request or its answer was over: 499, which only one gets to see that
/// has closed but its own side.
pub(crate) fn client_closed() -> Fault {
    Fault::client(
        CLIENT_CLOSED_REQUEST,
        "client_closed",
        "the client went away",
    )
}

// === impl RequestGuard ===

impl RequestGuard {
    pub(crate) fn new(
        scope: Arc<RequestScope>,
        span: ServerSpan,
        measure: RequestMeasure,
        access: AccessEntry,
    ) -> Self {
        Self(Box::new(Inner {
            name: RequestName::new(scope.id()),
            scope,
            span,
            measure,
            access,
            wait: None,
            answered: false,
            held: Held::default(),
        }))
    }

    /// Holds these until the request is over.
    pub(crate) fn hold(&mut self, held: Held) {
        self.0.held = held;
    }

    /// Holds whoever answers, or would have, until the request is over.
    pub(crate) fn hold_entry(&mut self, entry: Option<Arc<Entry>>) {
        self.0.held.entry = entry;
    }

    /// The request has a body, which is waited for by this.
    pub(crate) fn expect(&mut self, wait: Option<Arc<Wait>>) {
        self.0.wait = wait;
    }

    /// The wait for the request's body, if it has one.
    pub(crate) fn wait(&self) -> Option<&Wait> {
        self.0.wait.as_deref()
    }

    pub(crate) fn scope(&self) -> &Arc<RequestScope> {
        &self.0.scope
    }

    /// Names the request, in place of whatever name is there.
    pub(crate) fn name(&self, headers: &mut HeaderMap) {
        self.0.name.put(headers);
    }

    /// The response head is decided: names the request in it, and notes its status.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        let inner = &mut *self.0;
        inner.name.put_last(headers);
        inner.scope.set_answered();
        inner.span.response(status);
        inner.access.answered(status);
        inner.answered = true;
    }

    /// The request got no proper answer, or its answer was cut.
    pub(crate) fn failed(&mut self, fault: &Fault) {
        self.0.failed(fault);
    }

    /// The client went away before the answer's end.
    pub(crate) fn abandoned(&mut self) {
        self.0.abandoned();
    }

    /// Bytes of the response's body were handed to the connection.
    pub(crate) fn sent(&self, bytes: usize) {
        Counters::add(&self.0.scope.counters().response_bytes, bytes as u64);
    }
}

// === impl Inner ===

impl Inner {
    fn failed(&mut self, fault: &Fault) {
        self.span.fault(fault);
        self.access.failed(fault);
    }

    fn abandoned(&mut self) {
        self.failed(&client_closed());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.answered {
            // The call of the handler was dropped, and with it the connection or the stream.
            self.abandoned();
        }
        self.span.counters(self.scope.counters());
        self.measure.end(self.span.status(), self.span.error());
        self.access.end();
        self.scope.end();
    }
}
