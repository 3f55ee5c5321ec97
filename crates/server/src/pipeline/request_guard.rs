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
    scoped: Scoped,
    /// The wait for its body, if it has one.
    wait: Option<Arc<Wait>>,
    answered: bool,
    // After all else: the request counts until it is reported.
    held: Held,
}

/// A request's scope, and those who are told of its end.
pub(crate) struct Scoped {
    pub(crate) scope: Arc<RequestScope>,
    // Ends when it is dropped, which is after the guard's `Drop::drop` has run.
    pub(crate) span: ServerSpan,
    pub(crate) measure: RequestMeasure,
    pub(crate) access: AccessEntry,
}

/// What a request takes up while it lasts.
#[derive(Default)]
pub(crate) struct Held {
    /// Its route, and with it the router.
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) _permits: Permits,
    /// Its place among those that are told.
    pub(crate) _listing: Option<Listing>,
}

/// A request's places.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "held, and never read")]
pub(crate) struct Permits {
    /// Among all from the network.
    pub(crate) all: Option<InFlightPermit>,
    /// Among those of its client.
    pub(crate) client: Option<ClientPermit>,
    /// Among those of its service.
    pub(crate) service: Option<InFlightPermit>,
}

// === impl RequestGuard ===

impl RequestGuard {
    /// `wait` is that for the request's body, if it has one.
    pub(crate) fn new(scoped: Scoped, wait: Option<Arc<Wait>>, held: Held) -> Self {
        Self(Box::new(Inner {
            name: RequestName::new(scoped.scope.id()),
            scoped,
            wait,
            answered: false,
            held,
        }))
    }

    /// Whoever answers, or would have.
    pub(crate) fn entry(&self) -> Option<&Entry> {
        self.0.held.entry.as_deref()
    }

    /// The wait for the request's body, if it has one.
    pub(crate) fn wait(&self) -> Option<&Wait> {
        self.0.wait.as_deref()
    }

    pub(crate) fn scope(&self) -> &Arc<RequestScope> {
        &self.0.scoped.scope
    }

    /// Names the request, in place of whatever name is there.
    pub(crate) fn name(&self, headers: &mut HeaderMap) {
        self.0.name.put(headers);
    }

    /// The response head is decided: names the request in it, and notes its status.
    pub(crate) fn answered(&mut self, status: StatusCode, headers: &mut HeaderMap) {
        let inner = &mut *self.0;
        inner.name.put_last(headers);
        inner.scoped.scope.set_answered();
        inner.scoped.span.response(status);
        inner.scoped.access.answered(status);
        inner.answered = true;
    }

    /// The request got no proper answer, or its answer was cut.
    pub(crate) fn failed(&mut self, fault: &Fault) {
        self.0.scoped.span.fault(fault);
        self.0.scoped.access.failed(fault);
    }

    /// The client went away before the answer's end.
    pub(crate) fn abandoned(&mut self) {
        self.failed(&Trouble::Gone.fault());
    }

    /// Bytes of the response's body were handed to the connection.
    pub(crate) fn sent(&self, bytes: usize) {
        Counters::add(&self.scope().counters().response_bytes, bytes as u64);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if !self.0.answered {
            // The call of the handler was dropped, and with it the connection or the stream.
            self.abandoned();
        }
        let scoped = &mut self.0.scoped;
        scoped.span.counters(scoped.scope.counters());
        let (status, error) = (scoped.span.status(), scoped.span.error());
        scoped.measure.end(status, error);
        scoped.access.end();
        scoped.scope.end();
    }
}
