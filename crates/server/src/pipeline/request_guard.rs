//! One request and its answer, from the head's arrival to the last byte.

use std::sync::Arc;

use headwater_core::{Counters, Fault, RequestScope};
use headwater_telemetry::metrics::RequestMeasure;
use headwater_telemetry::{AccessEntry, ServerSpan};
use http::{HeaderMap, StatusCode};

use crate::admission::clients::ClientPermit;
use crate::admission::in_flight::InFlightPermit;
use crate::pipeline::in_flight_requests::Listing;
use crate::request::body_wait::{Trouble, Wait};
use crate::response::answer::RequestName;
use crate::routing::entry::Entry;

/// Reports the end of a request when dropped: answered to the last byte, cut, or dropped with its
/// connection. Boxed, because it moves often.
///
/// It belongs first to the call of the handler and then to the response's body, so it always has
/// exactly one owner, which is dropped when nobody waits any more.
pub(crate) struct RequestGuard(Box<Inner>);

struct Inner {
    name: RequestName,
    scoped: Scoped,
    wait: Option<Arc<Wait>>,
    answered: bool,
    /// True if the answer ended before it was complete.
    cut: bool,
    // Dropped last: the request counts until it is reported.
    held: Held,
}

pub(crate) struct Scoped {
    pub(crate) scope: Arc<RequestScope>,
    // Ends when it is dropped, after the guard's `Drop::drop`.
    pub(crate) span: ServerSpan,
    pub(crate) measure: RequestMeasure,
    pub(crate) access: AccessEntry,
}

#[derive(Default)]
pub(crate) struct Held {
    /// The route, which keeps the router alive.
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) _permits: Permits,
    /// The entry in the registry of requests in flight.
    pub(crate) _listing: Option<Listing>,
}

#[derive(Debug, Default)]
#[expect(dead_code, reason = "held, and never read")]
pub(crate) struct Permits {
    /// The place in the overall limit.
    pub(crate) all: Option<InFlightPermit>,
    pub(crate) client: Option<ClientPermit>,
    pub(crate) service: Option<InFlightPermit>,
}

// === impl RequestGuard ===

impl RequestGuard {
    /// `wait` is the wait for the request's body, if it has one.
    pub(crate) fn new(scoped: Scoped, wait: Option<Arc<Wait>>, held: Held) -> Self {
        Self(Box::new(Inner {
            name: RequestName::new(scoped.scope.id()),
            scoped,
            wait,
            answered: false,
            cut: false,
            held,
        }))
    }

    /// Returns the route that answers, or would have answered.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.0.held.entry.as_deref()
    }

    pub(crate) fn wait(&self) -> Option<&Wait> {
        self.0.wait.as_deref()
    }

    pub(crate) fn scope(&self) -> &Arc<RequestScope> {
        &self.0.scoped.scope
    }

    /// Sets the request's id field.
    pub(crate) fn name(&self, headers: &mut HeaderMap) {
        self.0.name.put(headers);
    }

    /// Sets the id in the decided response head, and records the status.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        let inner = &mut *self.0;
        inner.name.put_last(headers);
        inner.scoped.scope.set_answered();
        inner.scoped.span.response(status);
        inner.scoped.access.answered(status);
        inner.answered = true;
    }

    pub(crate) fn failed(&mut self, fault: &Fault) {
        self.0.scoped.span.fault(fault);
        self.0.scoped.access.failed(fault);
    }

    /// Records that the answer was cut off, for this reason.
    pub(crate) fn cut(&mut self, fault: &Fault) {
        self.0.cut = true;
        self.failed(fault);
    }

    /// Records that the client went away before the end of the answer.
    pub(crate) fn abandoned(&mut self) {
        self.cut(&Trouble::Gone.fault());
    }

    /// Counts bytes of the response's body that the connection took.
    pub(crate) fn sent(&self, bytes: usize) {
        Counters::add(&self.scope().counters().response_bytes, bytes as u64);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if !self.0.answered {
            // The connection or the stream was dropped, and the call of the handler with it.
            self.abandoned();
        }
        let scoped = &mut self.0.scoped;
        scoped.span.counters(scoped.scope.counters());
        scoped.span.context_values(scoped.scope.context());
        let (status, error) = (scoped.span.status(), scoped.span.error());
        scoped.measure.end(status, error);
        scoped.access.end();
        match self.0.cut {
            true => scoped.scope.cancel(),
            false => scoped.scope.end(),
        }
    }
}
