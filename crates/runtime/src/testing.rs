//! Test helpers of several modules.

use std::sync::Arc;
use std::time::Instant;

use headwater_core::{RequestId, RequestScope, ScopeParts, SpanContext};

use crate::attribution::{AttributionView, Evidence, Roots, Unattributed};
use crate::guest_name::GuestName;

pub(crate) fn scope() -> Arc<RequestScope> {
    scope_of(SpanContext::empty_context())
}

pub(crate) fn scope_of(span: SpanContext) -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span,
        service: "test".into(),
        route: "/...".into(),
        host: None,
        client: None,
        started: Instant::now(),
        deadline: None,
    })
}

/// The data of a store that has only attribution.
pub(crate) struct Attributed(pub(crate) Roots);

impl Attributed {
    pub(crate) fn new(evidence: Evidence) -> Self {
        Self(roots(evidence, false))
    }
}

impl AttributionView for Attributed {
    fn roots(&mut self) -> &mut Roots {
        &mut self.0
    }
}

pub(crate) fn roots(evidence: Evidence, hears_wakes: bool) -> Roots {
    let unattributed = Unattributed::new("test".into(), GuestName::default());
    Roots::new(evidence, hears_wakes, Arc::new(unattributed))
}
