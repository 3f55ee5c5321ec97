//! The front of one service for the other services of its host: no socket, no codec, and otherwise
//! all that a request from the network gets.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use headwater_core::{AnswerFuture, Body, Caller, Fault, InternalService, LoopGuard};
use headwater_telemetry::{AccessLog, Metrics};
use http::request::Parts;
use http::{Request, Response};
use http_body_util::BodyExt;

use crate::admission::service_limits::ServiceLimits;
use crate::pipeline::admit::enter_service;
use crate::pipeline::request_guard::{Held, Permits, RequestGuard};
use crate::pipeline::request_lifecycle::{Arrival, Handling, RequestLifecycle};
use crate::request::body::{BodyParams, IncomingBody};
use crate::request::method;
use crate::request::reserved_headers;
use crate::routing::route::Route;

/// The route of internal requests. Their host names the service, so its paths begin at the root,
/// whatever prefix it has among the paths of the host; a service sees the path as it was sent.
const WHOLE_HOST: &str = "/...";

/// Answers the requests that other services of the host make to this one.
///
/// A request has a scope of its own: its own id, a server span under the client span of its caller,
/// the access record and the metrics of any request, and the service's own timeout and limits. If what
/// the request is made for has no answer yet, and is due earlier, it is due then. What bounds clients, or
/// all requests from the network together, is nothing to it.
pub struct InternalFront {
    /// Its pattern is [`WHOLE_HOST`].
    route: Route,
    /// What counts against its limits, if anything does.
    service_limits: Option<ServiceLimits>,
    lifecycle: RequestLifecycle,
}

// === impl InternalFront ===

impl InternalFront {
    /// The front of the service that answers at `route`; where that is counts for nothing here. Its
    /// limits hold here, too; what counts against them is counted with what comes by routes of the same
    /// [`service_limits`](Route::service_limits), and by itself without one.
    #[must_use]
    pub fn new(mut route: Route, metrics: Metrics, loops: LoopGuard) -> Self {
        route.pattern = WHOLE_HOST.into();
        Self {
            service_limits: route.counted_limits(ServiceLimits::new),
            route,
            lifecycle: RequestLifecycle {
                metrics,
                access: AccessLog::default(),
                loops,
                overload_log: Arc::default(),
                explain: false,
            },
        }
    }

    /// The same, with its requests noted by `access` when they are over.
    #[must_use]
    pub fn with_access(mut self, access: AccessLog) -> Self {
        self.lifecycle.access = access;
        self
    }

    /// The same, with answers that tell why a request failed. See [`FrontParams::explain`].
    ///
    /// [`FrontParams::explain`]: crate::FrontParams::explain
    #[must_use]
    pub fn with_explanations(mut self, explain: bool) -> Self {
        self.lifecycle.explain = explain;
        self
    }

    async fn respond(&self, request: Request<Body>, caller: Caller) -> Response<Body> {
        let started = Instant::now();
        let (mut parts, body) = request.into_parts();
        reserved_headers::remove(&mut parts.headers);
        let scoped = self.lifecycle.begin(Arrival {
            parts: &parts,
            started,
            deadline: self.deadline(started, &caller),
            service: &self.route.service,
            route: &self.route.pattern,
            client: None,
            local: None,
            tls: false,
            caller: Some(&caller),
        });
        let body = IncomingBody {
            body,
            hold: (),
            params: BodyParams {
                max: self.route.limits.max_body,
                // What is not wanted of it is dropped: no connection suffers.
                ..BodyParams::default()
            },
        };
        let (body, wait) = body.wrap(&scoped.scope);
        let (permits, verdict) = match self.admit(&parts) {
            Ok(permits) => (permits, Ok(())),
            Err(fault) => (Permits::default(), Err(fault)),
        };
        let held = Held {
            _permits: permits,
            ..Held::default()
        };
        let guard = RequestGuard::new(scoped, wait, held);
        let handled = verdict.and_then(|()| {
            let request = Request::from_parts(parts, body);
            self.lifecycle.handle(&*self.route.handler, request, &guard)
        });
        let response = self.lifecycle.answer(Handling { guard, handled }).await;
        response.map(BodyExt::boxed_unsync)
    }

    /// As requests from the network are.
    fn admit(&self, parts: &Parts) -> Result<Permits, Fault> {
        method::check(&parts.method)?;
        let limits = self.service_limits.as_ref();
        let service = enter_service(limits, &parts.headers, self.route.limits.max_body)?;
        Ok(Permits {
            service,
            ..Permits::default()
        })
    }

    fn deadline(&self, started: Instant, caller: &Caller) -> Option<Instant> {
        let own = started.checked_add(self.route.timeout);
        let callers = caller.scope.as_ref().and_then(|scope| scope.due());
        match (own, callers) {
            (Some(own), Some(callers)) => Some(own.min(callers)),
            (one, other) => one.or(other),
        }
    }
}

impl InternalService for InternalFront {
    fn call(self: Arc<Self>, request: Request<Body>, caller: Caller) -> AnswerFuture {
        Box::pin(async move { self.respond(request, caller).await })
    }
}

impl fmt::Debug for InternalFront {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InternalFront")
            .field("service", &self.route.service)
            .field("timeout", &self.route.timeout)
            .finish_non_exhaustive()
    }
}
