//! Admits requests, and takes their places.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::Fault;
use headwater_core::fields::{DeclaredLength, declared_length};
use http::header::EXPECT;
use http::request::Parts;
use http::{HeaderMap, Version};

use crate::admission::clients::{ClientPermit, Clients};
use crate::admission::in_flight::{InFlightCount, InFlightPermit};
use crate::admission::limits::RequestLimits;
use crate::admission::rate::ClientBuckets;
use crate::admission::service_limits::{RETRY_AFTER, ServiceLimits};
use crate::pipeline::parse::Refusal;
use crate::pipeline::peer::Peer;
use crate::pipeline::request_guard::Permits;
use crate::pipeline::route::Routed;
use crate::request::body::BodyParams;
use crate::request::body_wait::Trouble;
use crate::request::forwarded::Told;
use crate::routing::entry::Entry;

#[derive(Debug)]
pub(crate) struct Admission {
    max_body: Option<u64>,
    body_idle_timeout: Duration,
    linger: Duration,
    pub(crate) in_flight: Arc<InFlightCount>,
    rates: Option<ClientBuckets>,
    pub(crate) clients: Clients,
}

/// A request after admission, admitted or refused.
pub(crate) struct Admitted {
    pub(crate) parts: Parts,
    pub(crate) told: Told,
    /// The route that answers, or would have answered.
    pub(crate) entry: Option<Arc<Entry>>,
    pub(crate) permits: Result<Permits, Fault>,
    pub(crate) body: BodyParams,
}

// === impl Admission ===

impl Admission {
    pub(crate) fn new(limits: &RequestLimits, linger: Duration) -> Self {
        let RequestLimits {
            // Checked with the head.
            max_uri: _,
            max_body,
            body_idle_timeout,
            max_in_flight,
            max_in_flight_per_client,
            client_rate,
        } = *limits;
        Self {
            max_body,
            body_idle_timeout,
            linger,
            in_flight: InFlightCount::up_to(max_in_flight),
            rates: client_rate.map(ClientBuckets::new),
            clients: Clients::new(max_in_flight_per_client),
        }
    }

    pub(crate) fn admit(&self, routed: Routed, peer: &Peer) -> Admitted {
        let Routed { parts, told, entry } = routed;
        let max_body = match &entry {
            Ok(entry) => entry.route.limits.max_body.or(self.max_body),
            Err(_) => self.max_body,
        };
        let (entry, permits) = match entry {
            Ok(entry) => {
                let permits = self.permits(&parts.headers, &told, peer, &entry, max_body);
                (Some(entry), permits)
            }
            Err(Refusal {
                fault,
                counts,
                entry,
            }) => {
                // A refused request counts for the client's rate, too.
                let counted = counts.then(|| self.enter(told.client.or(peer.client)));
                let full = counted.and_then(Result::err);
                (entry, Err(full.unwrap_or(*fault)))
            }
        };
        // In HTTP/2 a stream can end early without harm to the connection. A client that waits for `100
        // Continue` has not begun to send, and reading would ask it to.
        let lingers = parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT);
        Admitted {
            body: BodyParams {
                linger: lingers.then_some(self.linger),
                max: max_body,
                idle_timeout: Some(self.body_idle_timeout),
            },
            parts,
            told,
            entry,
            permits,
        }
    }

    fn permits(
        &self,
        headers: &HeaderMap,
        told: &Told,
        peer: &Peer,
        entry: &Entry,
        max_body: Option<u64>,
    ) -> Result<Permits, Fault> {
        let all = self.enter(told.client.or(peer.client))?;
        let client = self.enter_client(told, peer)?;
        let service = enter_service(entry.service_limits.as_ref(), headers, max_body)?;
        Ok(Permits {
            all: Some(all),
            client,
            service,
        })
    }

    /// Takes the request's place in the overall limit, and counts it for its client's rate.
    fn enter(&self, client: Option<SocketAddr>) -> Result<InFlightPermit, Fault> {
        let all = self
            .in_flight
            .enter()
            .ok_or_else(|| Fault::overload("in_flight", RETRY_AFTER))?;
        if let (Some(rates), Some(client)) = (&self.rates, client) {
            rates.take(client.ip()).map_err(|wait| {
                Fault::too_many_requests("client_rate", "the client sends requests too often", wait)
            })?;
        }
        Ok(all)
    }

    fn enter_client(&self, told: &Told, peer: &Peer) -> Result<Option<ClientPermit>, Fault> {
        if !self.clients.limit_requests() {
            return Ok(None);
        }
        let place = match (told.client, &peer.share) {
            (None, Some(share)) => share.enter(),
            (told, _) => match told.or(peer.client) {
                Some(client) => self.clients.told(client.ip()).enter(),
                None => return Ok(None),
            },
        };
        match place {
            Some(place) => Ok(Some(place)),
            None => Err(Fault::too_many_requests(
                "client_in_flight",
                "the client has too many requests in flight",
                RETRY_AFTER,
            )),
        }
    }
}

/// Takes the request's place among those of its service, and refuses a body that is known to be too large.
pub(crate) fn enter_service(
    limits: Option<&ServiceLimits>,
    headers: &HeaderMap,
    max_body: Option<u64>,
) -> Result<Option<InFlightPermit>, Fault> {
    let place = match limits {
        Some(limits) => limits.enter()?,
        None => None,
    };
    match (max_body, declared_length(headers)) {
        (Some(max), DeclaredLength::Exactly(length)) if length > max => {
            Err(Trouble::TooLarge.fault())
        }
        _ => Ok(place),
    }
}
