//! The audit log: denied requests, and connections that are less safe than they look.
//!
//! Its lines have the target `headwater::audit` and structured fields, for searching by request, service and
//! destination. A guest controls how often it is denied, so the log limits the number of lines, and counts
//! those left out.

use std::net::SocketAddr;
use std::sync::Arc;

use headwater_core::{Attribution, explain};
use headwater_telemetry::AuditBound;

use crate::EgressError;
use crate::internal::NoSuchService;
use crate::target::Target;

/// Writes the audit lines of one service. Clones are cheap and share the limit.
#[derive(Debug, Clone)]
pub(crate) struct Audit(AuditBound);

impl Audit {
    pub(crate) fn new(service: Arc<str>) -> Self {
        Self(AuditBound::new(service))
    }

    /// Logs a denied request, or one whose URI cannot reach a service of the same host; no other error.
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

    /// Logs a connection to an upstream without a verified certificate.
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
