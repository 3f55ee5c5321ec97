//! The audit log: what a guest tried and was denied, and what is less safe than it looks.
//!
//! Its lines have the target `headwater::audit`, and fields rather than prose, so that they can be
//! searched by request, service and destination. A guest decides how often it is denied, so lines are
//! bounded in number, and those that were left out are counted.

use std::net::SocketAddr;
use std::sync::Arc;

use headwater_core::{Attribution, explain};
use headwater_telemetry::AuditBound;

use crate::EgressError;
use crate::internal::NoSuchService;
use crate::target::Target;

/// Writes the audit lines of one service. Cheap to clone; the clones share their bound.
#[derive(Debug, Clone)]
pub(crate) struct Audit(AuditBound);

impl Audit {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self(AuditBound::new(service))
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
        if !self.0.has_room() {
            return;
        }
        tracing::warn!(
            target: "headwater::audit",
            parent: None,
            event = "denied",
            request_id = attribution.scope().map(|scope| display(scope.id())),
            attribution = attribution.verdict().as_str(),
            service = self.0.service(),
            destination,
            address = address.map(display),
            rule,
            "an outgoing request was denied: {}",
            explain(error)
        );
    }

    /// Tells of a connection to an upstream that may be anybody.
    pub(crate) fn unverified(&self, target: &Target, peer: SocketAddr) {
        if !self.0.has_room() {
            return;
        }
        tracing::warn!(
            target: "headwater::audit",
            parent: None,
            event = "unverified",
            service = self.0.service(),
            destination = %target,
            address = %peer.ip(),
            rule = "danger_no_verify",
            "an upstream's certificate was not verified"
        );
    }
}
