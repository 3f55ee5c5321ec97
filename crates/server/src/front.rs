//! The life of one request between the codec and the handler.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use headwater_core::{Fault, LoopGuard};
use headwater_telemetry::Metrics;
use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::forwarded::ForwardedParams;
use crate::limits::RequestLimits;
use crate::peer::Peer;
use crate::reception::{Arrival, Entrance, Reception};
use crate::request_body;
use crate::response_body::ResponseBody;
use crate::route::Route;
use crate::router::Router;
use crate::target;

/// What answers the requests of all listeners: who they are for, and what is asked of each.
#[derive(Debug)]
pub struct Front {
    router: ArcSwap<Router>,
    linger: Duration,
    reception: Reception,
    /// Service and route of a request that has none.
    nobody: Arc<str>,
}

/// What a [`Front`] is made of.
#[derive(Debug, Clone)]
pub struct FrontParams {
    /// How long the rest of a request's body is read and thrown away when the service did not want
    /// it. Closing at once would make the kernel reset the connection, and a client that is still
    /// sending would lose the answer. Default: 10 seconds. Zero closes at once.
    pub linger: Duration,
    /// What requests are measured with. Default: they are not.
    pub metrics: Metrics,
    /// What refuses requests that go round in circles. To be shared with all that sends requests for
    /// this host. Default: one of its own.
    pub loops: LoopGuard,
    /// What a request may ask for, and how many there may be.
    pub limits: RequestLimits,
    /// What is believed of proxies, and what services are told of clients.
    pub forwarded: ForwardedParams,
    /// Whether [`Front::requests`] can tell the requests in flight. Default: no; each request then
    /// takes a lock twice, of one of several lists.
    pub keep_requests: bool,
}

// === impl Front ===

impl Front {
    /// Makes a front with these routes.
    #[must_use]
    pub fn new(params: FrontParams, router: Router) -> Arc<Self> {
        let FrontParams {
            linger,
            metrics,
            loops,
            limits: _,
            forwarded: _,
            keep_requests: _,
        } = params;
        Arc::new(Self {
            router: ArcSwap::from_pointee(router),
            linger,
            reception: Reception { metrics, loops },
            nobody: Arc::from(""),
        })
    }

    /// Answers what arrives from now on by these routes; requests in flight keep theirs.
    pub fn replace(&self, router: Router) {
        self.router.store(Arc::new(router));
    }

    /// Answers one request.
    pub(crate) async fn respond(
        &self,
        request: Request<Incoming>,
        peer: &Peer,
    ) -> Response<ResponseBody> {
        let started = Instant::now();
        let (mut parts, incoming) = request.into_parts();
        let routed = self.route(&mut parts, peer);
        let (service, route) = match &routed {
            Ok(route) => (&route.service, &route.pattern),
            Err(_) => (&self.nobody, &self.nobody),
        };
        let exchange = self.reception.begin(Arrival {
            parts: &parts,
            started,
            // A timeout beyond what the clock can tell is none.
            deadline: routed
                .as_ref()
                .ok()
                .and_then(|route| started.checked_add(route.timeout)),
            service,
            route,
            entrance: Entrance::Network {
                client: peer.client,
                local: peer.local,
                scheme: &peer.origin.scheme,
            },
        });
        let scope = exchange.scope();
        let body = request_body::wrap(incoming, scope, self.linger_for(&parts));
        let answered = match routed {
            Ok(route) => {
                let request = Request::from_parts(parts, body);
                self.reception.handle(&*route.handler, request, scope).await
            }
            // The body is nobody's; it is read to its end like any other that is not wanted.
            Err(fault) => Err(fault),
        };
        self.reception.conclude(answered, exchange)
    }

    /// Makes the URI absolute and finds who answers.
    fn route(&self, parts: &mut Parts, peer: &Peer) -> Result<Arc<Route>, Fault> {
        let uri = std::mem::take(&mut parts.uri);
        parts.uri = target::establish(
            &parts.method,
            parts.version,
            uri,
            &mut parts.headers,
            &peer.origin,
        )?;
        self.router.load().find(&parts.uri).cloned().ok_or_else(|| {
            Fault::client(
                StatusCode::NOT_FOUND,
                "not_found",
                "no service answers at this path",
            )
        })
    }

    /// Whether an unwanted request body is read to its end. In HTTP/2 a stream can end early without
    /// harm to the connection. A client that waits for `100 Continue` has not begun to send, and
    /// reading would ask it to.
    fn linger_for(&self, parts: &Parts) -> Option<Duration> {
        (parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT))
            .then_some(self.linger)
    }
}

impl Default for FrontParams {
    fn default() -> Self {
        Self {
            linger: Duration::from_secs(10),
            metrics: Metrics::default(),
            loops: LoopGuard::default(),
            limits: RequestLimits::default(),
            forwarded: ForwardedParams::default(),
            keep_requests: false,
        }
    }
}
