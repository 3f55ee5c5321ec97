//! Checks a request's head, and makes the head that services see.

use std::sync::Arc;

use headwater_core::Fault;
use headwater_core::fields::settle_length;
use http::request::Parts;
use http::{StatusCode, Version};

use crate::pipeline::peer::Peer;
use crate::request::forwarded::{Forwarding, Told};
use crate::request::{cookies, method, reserved_headers, target, transfer_coding};
use crate::routing::entry::Entry;

#[derive(Debug)]
pub(crate) struct HeadParser {
    pub(crate) max_uri: usize,
    pub(crate) forwarding: Forwarding,
}

/// A head as services see it, or the original head if it was refused.
pub(crate) struct Parsed {
    pub(crate) parts: Parts,
    pub(crate) told: Told,
    pub(crate) verdict: Result<(), Refusal>,
}

pub(crate) struct Refusal {
    pub(crate) fault: Box<Fault>,
    /// If true, the request still counts for its client and in the overall limit.
    pub(crate) counts: bool,
    /// The route that would have answered, if it is known.
    pub(crate) entry: Option<Arc<Entry>>,
}

// === impl HeadParser ===

impl HeadParser {
    /// Makes the URI absolute and the fields as services see them, unless it refuses the request.
    pub(crate) fn parse(&self, mut parts: Parts, peer: &Peer) -> Parsed {
        let believed = self.forwarding.believe(&parts.headers, peer.client);
        let (told, verdict) = match believed {
            Ok(told) => {
                let checked = self.check(&mut parts, peer, &told);
                (told, checked.map_err(Refusal::from))
            }
            // The client that it would count for is unknown.
            Err(fault) => {
                let counts = false;
                let refusal = Refusal {
                    counts,
                    ..Refusal::from(fault)
                };
                (Told::default(), Err(refusal))
            }
        };
        Parsed {
            parts,
            told,
            verdict,
        }
    }

    fn check(&self, parts: &mut Parts, peer: &Peer, told: &Told) -> Result<(), Fault> {
        let path = parts.uri.path_and_query();
        if path.is_some_and(|path| path.as_str().len() > self.max_uri) {
            return Err(Fault::client(
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "the request's path and query are too long",
            ));
        }
        method::check(&parts.method)?;
        target::check_form(&parts.method, &parts.uri)?;
        transfer_coding::check(&parts.headers)?;
        target::establish(
            parts.version,
            &mut parts.uri,
            &mut parts.headers,
            &peer.origin,
        )?;
        let uri = std::mem::take(&mut parts.uri);
        parts.uri = told.restore(uri, &mut parts.headers)?;
        reserved_headers::remove(&mut parts.headers);
        if parts.version >= Version::HTTP_2 {
            cookies::join(&mut parts.headers);
            // As hyper does for HTTP/1.
            settle_length(&mut parts.headers);
        }
        Ok(())
    }
}

// === impl Refusal ===

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self {
            fault: Box::new(fault),
            counts: true,
            entry: None,
        }
    }
}
