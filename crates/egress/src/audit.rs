//! The audit log: what a guest tried and was denied, and what is less safe than it looks.
//!
//! Its lines have the target `headwater::audit`, and fields rather than prose, so that they can be
//! searched by request, service and destination. A guest decides how often it is denied, so lines are
//! bounded in number, and those that were left out are counted.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use headwater_core::{Attribution, explain};

use crate::EgressError;
use crate::internal::NoSuchService;
use crate::target::Target;

/// The lines of one service in one [`WINDOW`]: enough to see what a guest is up to, and no more than
/// 150 kB a minute.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);

/// Writes the audit lines of one service. Cheap to clone; the clones share their bound.
#[derive(Debug, Clone)]
pub(crate) struct Audit(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    service: Arc<str>,
    window: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    began: Option<Instant>,
    written: u32,
    left_out: u64,
}

// === impl Audit ===

impl Audit {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self(Arc::new(Inner {
            service,
            window: Mutex::default(),
        }))
    }

    /// Tells of a request that was denied, or that cannot reach a service of the same host as it is
    /// written; of other failures it tells nothing.
    pub(crate) fn denied(&self, attribution: &Attribution, error: &EgressError) {
        let (destination, address, rule) = match error {
            EgressError::Denied { destination, .. } => (destination, None, "no grant covers it"),
            EgressError::AddressDenied {
                destination,
                address,
                range,
                ..
            } => (destination, Some(address), range.as_str()),
            EgressError::Internal {
                destination,
                reason,
                ..
            } => (destination, None, *reason),
            EgressError::Dns { source, .. } => match source.downcast_ref() {
                Some(NoSuchService { destination, .. }) => {
                    (destination, None, "no service of this host has that name")
                }
                None => return,
            },
            _ => return,
        };
        if !self.has_room() {
            return;
        }
        tracing::warn!(
            target: "headwater::audit",
            parent: None,
            event = "denied",
            request_id = attribution.scope().map(|scope| display(scope.id())),
            attribution = attribution.verdict().as_str(),
            service = &*self.0.service,
            destination,
            address = address.map(display),
            rule,
            "an outgoing request was denied: {}",
            explain(error)
        );
    }

    /// Tells of a connection to an upstream that may be anybody.
    pub(crate) fn unverified(&self, target: &Target, peer: SocketAddr) {
        if !self.has_room() {
            return;
        }
        tracing::warn!(
            target: "headwater::audit",
            parent: None,
            event = "unverified",
            service = &*self.0.service,
            destination = %target,
            address = %peer.ip(),
            rule = "danger_no_verify",
            "an upstream's certificate was not verified"
        );
    }

    fn has_room(&self) -> bool {
        let left_out = self.0.leave_out(Instant::now());
        // Somebody has to tell of the first when the window is over.
        if left_out == Some(1) {
            self.tell_later();
        }
        left_out.is_none()
    }

    /// Tells how many lines were left out when the window is over, whether or not there is another.
    fn tell_later(&self) {
        // Without a runtime the next line or the end of the service tells.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let inner = Arc::downgrade(&self.0);
        runtime.spawn(async move {
            tokio::time::sleep(WINDOW).await;
            if let Some(inner) = inner.upgrade() {
                inner.tell();
            }
        });
    }
}

// === impl Inner ===

impl Inner {
    /// Leaves a line out if there are too many, and says how many that makes.
    fn leave_out(&self, now: Instant) -> Option<u64> {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = window
            .began
            .is_none_or(|began| now.saturating_duration_since(began) >= WINDOW);
        if is_over {
            window.began = Some(now);
            window.written = 0;
        }
        if window.written < MOST {
            window.written += 1;
            return None;
        }
        window.left_out += 1;
        Some(window.left_out)
    }

    /// Tells of the lines that were left out and not told of yet.
    fn tell(&self) {
        let left_out = {
            let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut window.left_out)
        };
        if left_out > 0 {
            tracing::warn!(
                target: "headwater::audit",
                parent: None,
                event = "left_out",
                service = &*self.service,
                left_out,
                "lines of the audit log were left out, so that a guest does not fill it"
            );
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_a_bounded_number_of_lines_and_the_rest_is_counted() {
        let audit = Audit::new("test".into());
        let start = Instant::now();
        for _ in 0..MOST {
            assert_eq!(audit.0.leave_out(start), None);
        }
        assert_eq!(audit.0.leave_out(start), Some(1));
        assert_eq!(audit.0.leave_out(start), Some(2));
        assert_eq!(audit.0.leave_out(start + WINDOW), None);
        assert_eq!(audit.0.window.lock().unwrap().left_out, 2);
        audit.0.tell();
        assert_eq!(audit.0.window.lock().unwrap().left_out, 0);
    }
}
