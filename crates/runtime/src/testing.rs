//! What the tests of several modules need.

use std::sync::Arc;
use std::time::Instant;

use headwater_core::{RequestId, RequestScope, ScopeParts, SpanContext};

/// The scope of a request that nobody sent.
pub(crate) fn scope() -> Arc<RequestScope> {
    RequestScope::new(ScopeParts {
        id: RequestId::new(),
        parent: None,
        span: SpanContext::empty_context(),
        service: "test".into(),
        route: "/...".into(),
        client: None,
        started: Instant::now(),
        deadline: None,
    })
}
