//! Finds the route of a request.

use std::sync::Arc;

use headwater_core::Fault;
use http::request::Parts;
use http::{StatusCode, Uri};

use crate::pipeline::parse::{Parsed, Refusal};
use crate::request::forwarded::Told;
use crate::request::target;
use crate::routing::entry::Entry;
use crate::routing::router::Router;

pub(crate) struct Routed {
    pub(crate) parts: Parts,
    pub(crate) told: Told,
    pub(crate) entry: Result<Arc<Entry>, Refusal>,
}

// === impl Parsed ===

impl Parsed {
    /// Finds the route, and sets the fields of its wildcards.
    pub(crate) fn route(self, router: &Router) -> Routed {
        let Self {
            mut parts,
            told,
            verdict,
        } = self;
        let entry = verdict.and_then(|()| {
            let found = match target::is_of_server(&parts.uri) {
                true => router.of_server(),
                false => router
                    .look_up(&parts.uri)
                    .ok_or_else(|| unanswered(router, &parts.uri))?,
            };
            let entry = Arc::clone(found.entry);
            match found.introduce(&mut parts.headers) {
                Ok(()) => Ok(entry),
                Err(fault) => Err(Refusal {
                    entry: Some(entry),
                    ..Refusal::from(fault)
                }),
            }
        });
        Routed { parts, told, entry }
    }
}

/// Returns the fault of an absolute URI without a route.
fn unanswered(router: &Router, uri: &Uri) -> Fault {
    if router.knows_host(uri) {
        return not_found();
    }
    // "A target URI that does not match an origin for which the server has been configured" (RFC 9110
    // 15.5.20). Caches must not keep it for this path, as they may keep a 404.
    Fault::client(
        StatusCode::MISDIRECTED_REQUEST,
        "unknown_host",
        "no service answers for this host",
    )
}

pub(crate) fn not_found() -> Fault {
    Fault::client(
        StatusCode::NOT_FOUND,
        "not_found",
        "no service answers at this path",
    )
}
