//! The life of one request between the codec and the handler.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use headwater_core::fields::{DeclaredLength, declared_length, strip_hop_by_hop};
use headwater_core::{Body, Fault, RequestId, RequestScope, ScopeParts};
use headwater_telemetry::metrics::RequestStart;
use headwater_telemetry::{Metrics, ServerRequest, ServerSpan, propagation};
use http::header::{EXPECT, HeaderMap};
use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::access::AccessRecord;
use crate::answer::{answer, log, name_request};
use crate::exchange::Exchange;
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
    metrics: Metrics,
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
        metrics: Metrics,
    ) -> Self {
        Self {
            router,
            origin,
            local,
            linger,
            metrics,
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
        let id = RequestId::new();
        let (mut parts, incoming) = request.into_parts();
        let routed = self.route(&mut parts);
        let mut exchange = self.begin(id, started, client, &parts, routed.as_ref().ok().copied());

        let response = match routed {
            Ok(route) => {
                let method = parts.method.clone();
                let linger = self.linger_for(&parts);
                introduce(exchange.scope(), &mut parts.headers);
                let body = request_body::wrap(incoming, exchange.scope(), linger);
                call(route, Request::from_parts(parts, body), exchange.scope())
                    .await
                    .and_then(|response| Sendable::check(response, &method))
            }
            Err(fault) => {
                // The body is nobody's; it is read to its end like any other that is not wanted.
                let linger = self.linger_for(&parts);
                drop(request_body::wrap(incoming, exchange.scope(), linger));
                Err(fault)
            }
        };
        let Sendable {
            mut response,
            length,
        } = response.unwrap_or_else(|fault| {
            log(&fault, exchange.scope());
            exchange.failed(&fault);
            Sendable {
                response: answer(&fault, id),
                length: None,
            }
        });
        name_request(response.headers_mut(), id);
        exchange.answered(response.status());
        response.map(|body| ResponseBody::new(body, exchange, length))
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

    /// Starts the span, makes the scope, and ties both to what follows.
    fn begin(
        &self,
        id: RequestId,
        started: Instant,
        client: SocketAddr,
        parts: &Parts,
        route: Option<&Route>,
    ) -> Exchange {
        let parent = propagation::extract(&parts.headers);
        let (service, pattern) = match route {
            Some(route) => (&route.service, &route.pattern),
            None => (&self.nobody, &self.nobody),
        };
        let span = ServerSpan::start(ServerRequest {
            id,
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            service,
            route: pattern,
            client: Some(client),
            server: Some(self.local),
            parent: parent.as_ref(),
        });
        let scope = RequestScope::new(ScopeParts {
            id,
            parent,
            span: span.context().clone(),
            service: Arc::clone(service),
            route: Arc::clone(pattern),
            client: Some(client),
            started,
            // A timeout beyond what the clock can tell is none.
            deadline: route.and_then(|route| started.checked_add(route.timeout)),
        });
        let measure = self.metrics.begin_request(RequestStart {
            method: &parts.method,
            tls: self.origin.scheme == Scheme::HTTPS,
            version: parts.version,
            service,
            route: pattern,
            started,
        });
        let access = AccessRecord::begin(parts, &scope);
        Exchange::new(scope, span, measure, access)
    }

    /// Whether an unwanted request body is read to its end. In HTTP/2 a stream can end early without
    /// harm to the connection. A client that waits for `100 Continue` has not begun to send, and
    /// reading would ask it to.
    fn linger_for(&self, parts: &Parts) -> Option<Duration> {
        (parts.version < Version::HTTP_2 && !parts.headers.contains_key(EXPECT))
            .then_some(self.linger)
    }
}

/// Puts the request's own names where the client's were: they are what a guest may pass on.
fn introduce(scope: &RequestScope, headers: &mut HeaderMap) {
    propagation::introduce(scope.span(), headers);
    name_request(headers, scope.id());
}

/// Calls the handler, under the request's deadline and with panics caught.
async fn call(
    route: &Route,
    request: Request<Body>,
    scope: &Arc<RequestScope>,
) -> Result<Response<Body>, Fault> {
    let handled = {
        let scope = Arc::clone(scope);
        // In a block of its own, so that a handler that panics before it returns its future is
        // caught as well. Nothing that could be left half-changed is seen again after a panic.
        AssertUnwindSafe(async move { route.handler.handle(request, scope).await }).catch_unwind()
    };
    let caught = match scope.deadline() {
        // The handler is asked first, so no timer is armed for one that answers at once.
        Some(deadline) => match tokio::time::timeout_at(deadline.into(), handled).await {
            Ok(caught) => caught,
            Err(_elapsed) => {
                // The handler's future is dropped by now; this tells what outlives it.
                scope.cancellation().cancel();
                return Err(Fault::deadline());
            }
        },
        None => handled.await,
    };
    caught.unwrap_or_else(|panic| Err(Fault::host("panic").caused_by(panic_text(&*panic))))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("the handler panicked: {}", text.unwrap_or("(no text)"))
}

/// A response whose head and body do not contradict each other.
struct Sendable {
    response: Response<Body>,
    /// Its `content-length`.
    length: Option<u64>,
}

impl Sendable {
    /// Removes what is not the service's to say, and refuses a `content-length` that is already
    /// known to be false: hyper would write it as it stands beside a body of another length, and
    /// client and server would disagree on where the next response begins. (A body whose length is
    /// not known beforehand is cut by hyper when it is too long, and the connection is closed when
    /// it is too short.)
    fn check(mut response: Response<Body>, method: &Method) -> Result<Self, Fault> {
        strip_hop_by_hop(response.headers_mut());
        if response.status().is_informational() {
            return Err(Fault::bad_response(
                "the service sent an interim status as its answer",
            ));
        }
        let length = match declared_length(response.headers()) {
            DeclaredLength::None => None,
            DeclaredLength::Exactly(length) => Some(length),
            DeclaredLength::Invalid => {
                return Err(Fault::bad_response(
                    "the service sent an invalid content-length",
                ));
            }
        };
        if ResponseBody::is_forbidden(method, response.status()) {
            // The length is that of the body which a GET would have had.
            *response.body_mut() = headwater_core::empty();
            return Ok(Self {
                response,
                length: None,
            });
        }
        if let (Some(length), Some(actual)) = (length, response.body().size_hint().exact())
            && length != actual
        {
            return Err(Fault::bad_response(
                "the service sent a content-length that is not its body's",
            )
            .caused_by(format!("content-length {length}, body of {actual} bytes")));
        }
        Ok(Self { response, length })
    }
}
