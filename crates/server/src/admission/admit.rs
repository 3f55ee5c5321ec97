//! Whether a request is taken in, and what is done to its head before anybody sees it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use headwater_core::Fault;
use headwater_core::fields::{DeclaredLength, declared_length, settle_length};
use http::header::EXPECT;
use http::request::Parts;
use http::{StatusCode, Uri, Version};

use crate::admission::clients::{ClientPermit, Clients};
use crate::admission::in_flight::{InFlightCount, InFlightPermit};
use crate::admission::limits::RequestLimits;
use crate::admission::rate::ClientBuckets;
use crate::admission::service_limits::RETRY_AFTER;
use crate::request::body::BodyParams;
use crate::request::body_wait::Trouble;
use crate::request::cookies;
use crate::request::forwarded::{ForwardedParams, Forwarding, Told};
use crate::request::method;
use crate::request::peer::Peer;
use crate::request::reserved_headers;
use crate::request::target;
use crate::request::transfer_coding;
use crate::routing::entry::Entry;
use crate::routing::router::Router;

/// Fields that a service is sent besides those of the client, mostly.
const INTRODUCED: usize = 8;

/// What decides on requests.
#[derive(Debug)]
pub(crate) struct Admission {
    max_uri: usize,
    max_body: Option<u64>,
    body_idle_timeout: Duration,
    linger: Duration,
    in_flight: Arc<InFlightCount>,
    rates: Option<ClientBuckets>,
    clients: Clients,
    forwarding: Forwarding,
}

/// What was decided on a request.
#[derive(Default)]
pub(crate) struct Admitted {
    pub(crate) told: Told,
    /// Who answers, or would have.
    pub(crate) entry: Option<Arc<Entry>>,
}

/// A request's places.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "held, and never read")]
pub(crate) struct Permits {
    /// Among all from the network.
    pub(crate) all: Option<InFlightPermit>,
    /// Among those of its client.
    pub(crate) client: Option<ClientPermit>,
    /// Among those of its service.
    pub(crate) service: Option<InFlightPermit>,
}

// === impl Admission ===

impl Admission {
    pub(crate) fn new(limits: RequestLimits, forwarded: ForwardedParams, linger: Duration) -> Self {
        let RequestLimits {
            max_uri,
            max_body,
            body_idle_timeout,
            max_in_flight,
            max_in_flight_per_client,
            client_rate,
        } = limits;
        Self {
            max_uri,
            max_body,
            body_idle_timeout,
            linger,
            in_flight: InFlightCount::up_to(max_in_flight),
            rates: client_rate.map(ClientBuckets::new),
            clients: Clients::new(max_in_flight_per_client),
            forwarding: Forwarding::new(forwarded),
        }
    }

    pub(crate) fn in_flight(&self) -> &Arc<InFlightCount> {
        &self.in_flight
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.clients
    }

    /// Whether it is a proxy's, which may have connections for many clients.
    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        self.forwarding.trusts(address)
    }

    /// Makes the URI absolute, finds who answers, and takes the request's places; `admitted` has what
    /// was found out by the time that a fault came up.
    pub(crate) fn admit(
        &self,
        parts: &mut Parts,
        peer: &Peer,
        router: &ArcSwap<Router>,
        admitted: &mut Admitted,
    ) -> Result<Permits, Fault> {
        // First, because whatever else is wrong with it counts for the client's rate.
        admitted.told = self.forwarding.believe(&parts.headers, peer)?;
        let sound = self.check(parts, peer, &admitted.told);
        let router = router.load();
        let found = match &sound {
            Ok(()) if target::is_of_server(&parts.uri) => Some(router.of_server()),
            Ok(()) => router.look_up(&parts.uri),
            Err(_) => None,
        };
        admitted.entry = found.as_ref().map(|found| Arc::clone(found.entry));
        let all = self
            .in_flight
            .enter()
            .ok_or_else(|| Fault::overload("in_flight", RETRY_AFTER))?;
        let client = admitted.told.client.or(peer.client);
        if let (Some(rates), Some(client)) = (&self.rates, client) {
            rates.take(client.ip()).map_err(|wait| {
                Fault::too_many_requests(
                    "client_rate",
                    "the client asks more often than it may",
                    wait,
                )
            })?;
        }
        sound?;
        let found = found.ok_or_else(|| unanswered(&router, &parts.uri))?;
        let client = self.enter_client(&admitted.told, peer)?;
        let service = match &found.entry.service_limits {
            Some(service_limits) => service_limits.enter()?,
            None => None,
        };
        if let (Some(max), DeclaredLength::Exactly(length)) =
            (self.max_body(found.entry), declared_length(&parts.headers))
            && length > max
        {
            return Err(Trouble::TooLarge.fault());
        }
        found.introduce(&mut parts.headers)?;
        Ok(Permits {
            all: Some(all),
            client,
            service,
        })
    }

    /// Takes the request's place among those of its client.
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
                "the client has as many requests in flight as it may have",
                RETRY_AFTER,
            )),
        }
    }

    /// Refuses what no service shall see, and makes of the rest what services see.
    fn check(&self, parts: &mut Parts, peer: &Peer, told: &Told) -> Result<(), Fault> {
        let path = parts.uri.path_and_query();
        if path.is_some_and(|path| path.as_str().len() > self.max_uri) {
            return Err(Fault::client(
                StatusCode::URI_TOO_LONG,
                "uri_too_long",
                "the request's path and query are longer than they may be",
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
            // As hyper does it with HTTP/1.
            settle_length(&mut parts.headers);
        }
        Ok(())
    }

    /// How the request's body is taken in.
    pub(crate) fn body(&self, parts: &Parts, entry: Option<&Arc<Entry>>) -> BodyParams {
        // In HTTP/2 a stream can end early without harm to the connection. A client that waits for
        // `100 Continue` has not begun to send, and reading would ask it to.
        let lingers = parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT);
        BodyParams {
            linger: lingers.then_some(self.linger),
            max: entry.map_or(self.max_body, |entry| self.max_body(entry)),
            idle_timeout: Some(self.body_idle_timeout),
        }
    }

    /// Tells the service of the client, and lets it see the path that it is to see.
    pub(crate) fn introduce(
        &self,
        parts: &mut Parts,
        told: &Told,
        peer: &Peer,
        entry: &Entry,
    ) -> Result<(), Fault> {
        if entry.route.handler.wants_introduction() {
            // At once, for all that the request is introduced with.
            parts.headers.reserve(INTRODUCED);
            self.forwarding
                .introduce(told, peer, &parts.uri, &mut parts.headers);
            if let Some(certificate) = &peer.certificate {
                certificate.introduce(&mut parts.headers);
            }
        }
        match entry.route.strip_prefix {
            true => entry.strip_prefix(parts, told.by_proxy),
            false => Ok(()),
        }
    }

    fn max_body(&self, entry: &Entry) -> Option<u64> {
        entry.route.limits.max_body.or(self.max_body)
    }
}

/// Why nobody answers at an absolute URI.
fn unanswered(router: &Router, uri: &Uri) -> Fault {
    if router.knows_host(uri) {
        return not_found();
    }
    // "A target URI that does not match an origin for which the server has been configured" (RFC 9110
    // 15.5.20). Nobody may keep it for an answer of the path, as caches may a 404.
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
