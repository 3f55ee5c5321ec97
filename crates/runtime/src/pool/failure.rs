//! Why an instance failed, and whether anybody was told.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_core::{Blame, Fault, RequestId};

use crate::pool::scheduler::InstanceKey;

/// Why an instance failed.
///
/// A request that is still to be answered, or whose response is on its way, is told of it, and its log
/// line has the cause. Where there is none, as when a guest traps in work after its response, the
/// failure logs itself when it is dropped: then nobody is left who could be told.
#[derive(Debug)]
pub(crate) struct Failure {
    service: Arc<str>,
    instance: InstanceKey,
    /// On one line, for the log, with the guest's backtrace if there is one.
    pub(crate) cause: String,
    reason: Reason,
    /// A request's log line has it.
    told: AtomicBool,
}

/// Whose fault it is that an instance failed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// The guest's, in work for this request if that is known.
    Guest(Option<RequestId>),
    /// This request took more CPU time than it may.
    CpuTime(RequestId),
    /// The instance was ended from outside, for a request that was told of it.
    Overdue,
}

impl Failure {
    pub(crate) fn new(
        service: Arc<str>,
        instance: InstanceKey,
        cause: String,
        reason: Reason,
    ) -> Self {
        Self {
            service,
            instance,
            cause,
            reason,
            told: AtomicBool::new(false),
        }
    }

    /// What becomes of a request that was in the instance.
    pub(crate) fn fault(&self, request: RequestId) -> Fault {
        let fault = match self.reason {
            Reason::CpuTime(culprit) if culprit == request => Fault::cpu_time(),
            _ => Fault::trap(),
        };
        fault.caused_by(self.to_string())
    }

    /// Whether the request certainly made the instance fail.
    pub(crate) fn is_of(&self, request: RequestId) -> bool {
        matches!(self.reason, Reason::CpuTime(culprit) if culprit == request)
    }

    /// A request is answered with it, or cut.
    pub(crate) fn set_told(&self) {
        // Read when nobody else has it.
        self.told.store(true, Ordering::Relaxed);
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "instance {}: {}", self.instance.0, self.cause)
    }
}

impl Drop for Failure {
    fn drop(&mut self) {
        let Reason::Guest(request) = self.reason else {
            return;
        };
        if !*self.told.get_mut() {
            tracing::error!(
                request_id = request.map(tracing::field::display),
                service = %self.service,
                instance = self.instance.0,
                blame = Blame::Guest.as_str(),
                kind = "trap",
                cause = %self.cause,
                "the guest failed, and no answer tells of it"
            );
        }
    }
}
