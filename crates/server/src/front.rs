//! The life of one request between the codec and the handler.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_core::Fault;
use http::header::EXPECT;
use http::request::Parts;
use http::{Request, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::reception::{Arrival, Entrance, Reception};
use crate::request_body;
use crate::response_body::ResponseBody;
use crate::router::{Route, Router};
use crate::target::{self, Origin};

/// What all requests of a server share.
#[derive(Debug)]
pub(crate) struct Front {
    router: Router,
    origin: Origin,
    local: SocketAddr,
    linger: Duration,
    reception: Reception,
    /// Service and route of a request that has none.
    nobody: Arc<str>,
}

// === impl Front ===

impl Front {
    pub(crate) fn new(
        router: Router,
        origin: Origin,
        local: SocketAddr,
        linger: Duration,
        reception: Reception,
    ) -> Self {
        Self {
            router,
            origin,
            local,
            linger,
            reception,
            nobody: Arc::from(""),
        }
    }

    /// Answers one request.
    pub(crate) async fn respond(
        self: Arc<Self>,
        request: Request<Incoming>,
        client: SocketAddr,
    ) -> Response<ResponseBody> {
        let started = Instant::now();
        let (mut parts, incoming) = request.into_parts();
        let routed = self.route(&mut parts);
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
                client,
                local: self.local,
                scheme: &self.origin.scheme,
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
    fn route(&self, parts: &mut Parts) -> Result<&Route, Fault> {
        let uri = std::mem::take(&mut parts.uri);
        parts.uri = target::establish(
            &parts.method,
            parts.version,
            uri,
            &mut parts.headers,
            &self.origin,
        )?;
        self.router.find(&parts.uri).ok_or_else(|| {
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
