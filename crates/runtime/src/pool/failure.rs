use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use headwater_core::{Blame, Fault, RequestId};

use crate::pool::scheduler::InstanceKey;

/// The reason why an instance failed.
///
/// A request that is not answered yet, or whose response is being sent, fails with it, and its log
/// line has the cause. If there is no such request, as when a guest traps in work after its response,
/// the failure logs itself when it is dropped.
#[derive(Debug)]
pub(crate) struct Failure {
    service: Arc<str>,
    instance: InstanceKey,
    /// The cause on one line, for the log, with the guest's backtrace if there is one.
    pub(crate) cause: String,
    reason: Reason,
    /// True if a request's log line has it.
    told: AtomicBool,
}

/// The party at fault for a failed instance.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reason {
    /// The guest, in work for this request if known.
    Guest(Option<RequestId>),
    /// This request, which exceeded its CPU time.
    CpuTime(RequestId),
    /// The instance was ended from outside, for a request that was told so.
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

    pub(crate) fn fault(&self, request: RequestId) -> Fault {
        let fault = match self.reason {
            Reason::CpuTime(culprit) if culprit == request => Fault::cpu_time(),
            _ => Fault::trap(),
        };
        fault.caused_by(self.to_string())
    }

    /// Returns true if the request certainly made the instance fail.
    pub(crate) fn is_of(&self, request: RequestId) -> bool {
        matches!(self.reason, Reason::CpuTime(culprit) if culprit == request)
    }

    pub(crate) fn set_told(&self) {
        // Read when there is no other reference.
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
                "the guest failed, and no answer reports it"
            );
        }
    }
}
