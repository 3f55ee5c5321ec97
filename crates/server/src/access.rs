//! The access record: one line of the log for each request, once it is over.

use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::{Caller, Counters, Fault, RequestScope};
use http::request::Parts;
use http::{Method, StatusCode, Uri};

/// What is told of a request when it is over. Off unless the log asks for it.
pub(crate) struct AccessRecord {
    scope: Arc<RequestScope>,
    method: Method,
    /// The path alone: a query may hold what should not be in a log.
    uri: Uri,
    /// Of a request that another service made.
    caller: Option<Caller>,
    status: Option<StatusCode>,
    fault: Option<&'static str>,
    first_byte: Option<Duration>,
}

/// A macro, because `tracing` wants the target as a constant in each of its calls.
macro_rules! target {
    () => {
        "headwater::access"
    };
}

// === impl AccessRecord ===

impl AccessRecord {
    /// Begins the record of a request; none if nobody reads it.
    pub(crate) fn begin(
        parts: &Parts,
        scope: &Arc<RequestScope>,
        caller: Option<&Caller>,
    ) -> Option<Box<Self>> {
        tracing::enabled!(target: target!(), tracing::Level::INFO).then(|| {
            Box::new(Self {
                scope: Arc::clone(scope),
                method: parts.method.clone(),
                uri: parts.uri.clone(),
                caller: caller.cloned(),
                status: None,
                fault: None,
                first_byte: None,
            })
        })
    }

    /// The response head is decided, and goes out.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.first_byte = Some(self.elapsed());
    }

    /// The request got no proper answer, or its answer was cut.
    pub(crate) fn failed(&mut self, fault: &Fault) {
        self.fault = Some(fault.kind());
    }

    /// The request is over.
    pub(crate) fn end(&self) {
        let Counters {
            outgoing,
            outgoing_sent_bytes,
            outgoing_received_bytes,
            request_bytes,
            response_bytes,
            log_lines,
            cpu_nanos,
        } = self.scope.counters();
        let cpu_nanos = Counters::get(cpu_nanos);
        let caller = self.caller.as_ref();
        let called_for = caller.and_then(|caller| caller.scope.as_ref());
        tracing::info!(
            target: target!(),
            parent: None,
            request_id = %self.scope.id(),
            trace_id = %self.scope.span().trace_id(),
            service = &**self.scope.service(),
            caller_service = caller.map(|caller| &*caller.service),
            caller_request_id = called_for.map(|scope| tracing::field::display(scope.id())),
            method = self.method.as_str(),
            path = self.uri.path(),
            status = self.status.map(|status| status.as_u16()),
            fault = self.fault,
            first_byte_us = self.first_byte.map(microseconds),
            total_us = microseconds(self.elapsed()),
            request_bytes = Counters::get(request_bytes),
            response_bytes = Counters::get(response_bytes),
            outgoing_requests = Counters::get(outgoing),
            outgoing_sent_bytes = Counters::get(outgoing_sent_bytes),
            outgoing_received_bytes = Counters::get(outgoing_received_bytes),
            log_lines = Counters::get(log_lines),
            cpu_us = (cpu_nanos > 0).then_some(cpu_nanos / 1_000),
            "request"
        );
    }

    fn elapsed(&self) -> Duration {
        Instant::now().saturating_duration_since(self.scope.started())
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
