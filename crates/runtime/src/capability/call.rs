//! Spans, metrics and audit of a guest's call of a capability.

use std::sync::Arc;
use std::time::Instant;

use headwater_core::{Attribution, SpanContext};
use headwater_telemetry::{AuditBound, CallOutcome, CallSpan, GuestCall, Metrics};
use tracing::Level;
use wasmtime::StoreContextMut;

use super::attribution;
use crate::guest_state::GuestState;

/// A guest's call of a function of a host interface, from [`call`] to its [end](Self::end). A call that is dropped
/// before its end has the outcome `dropped`.
#[derive(Debug)]
pub struct Call {
    attribution: Attribution,
    service: Arc<str>,
    interface: &'static str,
    function: &'static str,
    started: Instant,
    outcome: CallOutcome,
    span: CallSpan,
    metrics: Metrics,
    audit: AuditBound,
}

/// Begins to account for a guest's call. Finds the request that the call is made for, as [`attribution`] does and
/// with the same condition, and starts a client span under that request's span.
///
/// The end of the call is counted by `headwater.capability.calls`, timed by `headwater.capability.duration` and
/// written to the audit log, if there is one. `interface` has no version (`acme:quota/left`). Both names become
/// labels of metrics.
///
/// The call counts as an effect: a request that made it is not retried when its instance fails.
#[must_use]
pub fn call(
    store: &mut StoreContextMut<'_, GuestState>,
    interface: &'static str,
    function: &'static str,
) -> Call {
    let attribution = attribution(store);
    let state = store.data();
    match attribution.scope() {
        Some(scope) => scope.note_effect(),
        None => state.hooks.outgoing().note_unattributed(),
    }
    let service = state.service.clone();
    let guest_call = GuestCall {
        service: &service,
        interface,
        function,
    };
    Call {
        span: CallSpan::start(guest_call, &attribution),
        attribution,
        interface,
        function,
        started: Instant::now(),
        outcome: CallOutcome::Dropped,
        metrics: state.metrics.clone(),
        audit: state.audit.clone(),
        service,
    }
}

/// Only counts a call. For calls that the host answers at once from its memory: a span or an audit line would cost
/// more than the call.
pub fn count(state: &GuestState, interface: &'static str, function: &'static str) {
    let call = GuestCall {
        service: &state.service,
        interface,
        function,
    };
    state.metrics.called(call, CallOutcome::Ok, None, None);
}

// === impl Call ===

impl Call {
    /// Returns the request that the call is made for.
    #[must_use]
    pub fn attribution(&self) -> &Attribution {
        &self.attribution
    }

    /// Returns the context of the call's span, for the `traceparent` of requests that carry the call out. Always
    /// valid.
    #[must_use]
    pub fn context(&self) -> &SpanContext {
        self.span.context()
    }

    /// Ends the call with the result for the guest, and returns that result.
    ///
    /// # Errors
    ///
    /// Returns the error of `result`.
    pub fn end<T, E>(mut self, result: Result<T, E>) -> Result<T, E> {
        self.outcome = match &result {
            Ok(_) => CallOutcome::Ok,
            Err(_) => CallOutcome::Error,
        };
        result
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.span.end(self.outcome);
        let call = GuestCall {
            service: &self.service,
            interface: self.interface,
            function: self.function,
        };
        let verdict = self.attribution.verdict();
        let took = self.started.elapsed();
        self.metrics
            .called(call, self.outcome, Some(verdict), Some(took));
        // Below the default level: the log is not the place for each call.
        if tracing::event_enabled!(target: "headwater::audit", Level::DEBUG)
            && self.audit.has_room()
        {
            tracing::debug!(
                target: "headwater::audit",
                parent: None,
                event = "call",
                request_id = self.attribution.scope().map(|scope| tracing::field::display(scope.id())),
                attribution = verdict.as_str(),
                service = &*self.service,
                interface = self.interface,
                function = self.function,
                outcome = self.outcome.as_str(),
                "a guest called a host interface"
            );
        }
    }
}
