//! The life of a request between the codec and the handler.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use headwater_core::{Body, Fault, LoopGuard};
use headwater_telemetry::{AccessLog, Metrics};
use http::request::Parts;
use http::uri::Scheme;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;

use crate::admission::clients::Clients;
use crate::admission::limits::RequestLimits;
use crate::pipeline::admit::{Admission, Admitted};
use crate::pipeline::in_flight_requests::{InFlight, Registry};
use crate::pipeline::parse::HeadParser;
use crate::pipeline::peer::Peer;
use crate::pipeline::request_guard::{Held, Permits, RequestGuard};
use crate::pipeline::request_lifecycle::{Arrival, Handling, RequestLifecycle};
use crate::pipeline::response_body::ResponseBody;
use crate::pipeline::route::not_found;
use crate::request::body::{Arriving, Hold, IncomingBody};
use crate::request::forwarded::{ForwardedParams, Forwarding, Told};
use crate::routing::entry::Entry;
use crate::routing::router::Router;

/// The number of fields that the front usually adds for a service.
const INTRODUCED: usize = 8;

/// Answers the requests of all listeners: routes them and applies the limits.
#[derive(Debug)]
pub struct Front {
    parser: HeadParser,
    router: ArcSwap<Router>,
    admission: Admission,
    lifecycle: RequestLifecycle,
    registry: Option<Arc<Registry>>,
    /// The service and route of a request without a route.
    nobody: Arc<str>,
}

/// A request with a scope, to be handled unless it was refused.
struct Begun {
    guard: RequestGuard,
    request: Result<(Parts, Body), Fault>,
    told: Told,
}

/// Routes that were replaced.
#[derive(Debug)]
pub struct Retired(CancellationToken);

/// The parameters of a [`Front`].
#[derive(Debug, Clone)]
pub struct FrontParams {
    /// How long to read and discard the rest of a body that the service did not read. Closing at once would
    /// make the kernel reset the connection, and a client that is still sending would lose the answer.
    /// Default: 10 seconds. Zero closes at once.
    pub linger: Duration,
    /// The metrics of requests. Default: none.
    pub metrics: Metrics,
    /// The access log of finished requests. Default: none.
    pub access: AccessLog,
    /// Refuses requests that loop. Share it with everything that sends requests for this host.
    /// Default: a new one.
    pub loops: LoopGuard,
    /// Limits on requests.
    pub limits: RequestLimits,
    /// Trusted proxies, and the fields that tell services about clients.
    pub forwarded: ForwardedParams,
    /// If true, [`Front::requests`] lists the requests in flight. Default: false; each request then takes one
    /// of several locks twice.
    pub keep_requests: bool,
    /// If true, answers say why a request failed, and why an outgoing request made for it was denied, in the
    /// field `headwater-explain` and in the text of Headwater's own answers. For development: it tells
    /// clients what a service may reach. Default: false.
    pub explain: bool,
}

// === impl Front ===

impl Front {
    /// Makes a front with these routes.
    #[must_use]
    pub fn new(params: FrontParams, router: Router) -> Arc<Self> {
        let FrontParams {
            linger,
            metrics,
            access,
            loops,
            limits,
            forwarded,
            keep_requests,
            explain,
        } = params;
        Arc::new(Self {
            router: ArcSwap::from_pointee(router),
            parser: HeadParser {
                max_uri: limits.max_uri,
                forwarding: Forwarding(forwarded),
            },
            admission: Admission::new(&limits, linger),
            lifecycle: RequestLifecycle {
                metrics,
                access,
                loops,
                overload_log: Arc::default(),
                explain,
            },
            registry: keep_requests.then(Arc::default),
            nobody: Arc::from(""),
        })
    }

    /// Replaces the routes for new requests. Requests in flight keep the old routes; the returned handle
    /// tells when the last of them is over.
    pub fn replace(&self, router: Router) -> Retired {
        Retired(self.router.swap(Arc::new(router)).ended().clone())
    }

    /// Returns the number of requests in flight from connections, each until its answer's last byte. Refused
    /// requests do not count.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.admission.in_flight.count()
    }

    /// Returns the number of requests so far from connections, including those in flight or refused, but
    /// without those whose proxy fields are invalid.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.admission.in_flight.entered()
    }

    /// Waits until no request is in flight. New ones may have come by the time that the caller looks.
    pub async fn idle(&self) {
        self.admission.in_flight.idle().await;
    }

    /// Returns the requests in flight, the oldest first; none unless
    /// [`keep_requests`](FrontParams::keep_requests) is set.
    #[must_use]
    pub fn requests(&self) -> Vec<InFlight> {
        self.registry
            .as_ref()
            .map_or_else(Vec::new, |registry| registry.list())
    }

    pub(crate) fn clients(&self) -> &Clients {
        &self.admission.clients
    }

    pub(crate) fn is_proxy(&self, address: IpAddr) -> bool {
        self.parser.forwarding.trusts(address)
    }

    /// Receives a request, without waiting. Holds `hold` until its body has come.
    pub(crate) fn receive(
        &self,
        request: Request<impl Arriving>,
        hold: impl Hold,
        peer: &Peer,
    ) -> Handling {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let parsed = self.parser.parse(parts, peer);
        let routed = parsed.route(&self.router.load());
        let admitted = self.admission.admit(routed, peer);
        let begun = self.begin(started, admitted, (body, hold), peer);
        self.handle(begun, peer)
    }

    /// Makes the request's scope, and ties its places to the scope's end.
    fn begin(
        &self,
        started: Instant,
        admitted: Admitted,
        (body, hold): (impl Arriving, impl Hold),
        peer: &Peer,
    ) -> Begun {
        let Admitted {
            parts,
            told,
            entry,
            permits,
            body: params,
        } = admitted;
        let route = entry.as_ref().map(|entry| &entry.route);
        let [service, pattern] = match route {
            Some(route) => peer.names(route),
            None => [&self.nobody; 2],
        };
        let scoped = self.lifecycle.begin(Arrival {
            parts: &parts,
            started,
            // A timeout that the clock cannot represent is none.
            deadline: route.and_then(|route| started.checked_add(route.timeout)),
            service,
            route: pattern,
            client: told.client.or(peer.client),
            local: peer.local,
            tls: peer.origin.scheme == Scheme::HTTPS,
            caller: None,
        });
        let scope = &scoped.scope;
        let (body, wait) = IncomingBody { body, hold, params }.wrap(scope);
        let registry = self.registry.as_ref().filter(|_| permits.is_ok());
        let listing = registry.map(|registry| registry.enter(scope, &parts));
        let (permits, verdict) = match permits {
            Ok(permits) => (permits, Ok(())),
            Err(fault) => (Permits::default(), Err(fault)),
        };
        let held = Held {
            entry,
            _permits: permits,
            _listing: listing,
        };
        Begun {
            guard: RequestGuard::new(scoped, wait, held),
            // Nothing reads the body of a refused request; it is read to its end like any other unread body.
            request: verdict.map(|()| (parts, body)),
            told,
        }
    }

    /// Adds the front's fields to the request, and calls its service.
    fn handle(&self, begun: Begun, peer: &Peer) -> Handling {
        let Begun {
            guard,
            request,
            told,
        } = begun;
        let handled = request.and_then(|(parts, body)| {
            let entry = guard.entry().ok_or_else(not_found)?;
            let parts = introduce(parts, &told, peer, entry)?;
            let request = Request::from_parts(parts, body);
            self.lifecycle
                .handle(&*entry.route.handler, request, &guard)
        });
        Handling { guard, handled }
    }

    pub(crate) async fn respond(&self, handling: Handling) -> Response<ResponseBody> {
        self.lifecycle.answer(handling).await
    }
}

/// Tells the service about the client, and rewrites the path for it.
fn introduce(mut parts: Parts, told: &Told, peer: &Peer, entry: &Entry) -> Result<Parts, Fault> {
    if entry.route.handler.wants_introduction() {
        // Reserves once for all the added fields.
        parts.headers.reserve(INTRODUCED);
        told.introduce(peer.client, &peer.introduction, &mut parts);
        if let Some(certificate) = &peer.certificate {
            certificate.introduce(&mut parts.headers);
        }
    }
    if entry.route.strip_prefix {
        entry.strip_prefix(&mut parts, told.by_proxy)?;
    }
    Ok(parts)
}

impl Retired {
    /// Waits until no request uses these routes any more.
    pub async fn ended(&self) {
        self.0.cancelled().await;
    }
}

impl Default for FrontParams {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(10),
            metrics: Metrics::default(),
            access: AccessLog::default(),
            loops: LoopGuard::default(),
            limits: RequestLimits::default(),
            forwarded: ForwardedParams::default(),
            keep_requests: false,
            explain: false,
        }
    }
}
