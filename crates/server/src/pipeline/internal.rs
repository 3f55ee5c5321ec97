//! The front of one service for the other services of its host, without a socket or codec.

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

/// The route of internal requests. Their host names the service, so its paths begin at the root, whatever its
/// prefix on the host; the service sees the path as it was sent.
const WHOLE_HOST: &str = "/...";

/// Answers the requests that other services of the host make to this one.
///
/// A request has its own scope: an id, a server span under the client span of its caller, an access record,
/// metrics, and the service's timeout and limits. It is due no later than the unanswered request that it is
/// made for. Limits on clients, and on all requests from the network, do not apply.
pub struct InternalFront {
    /// The route; its pattern is [`WHOLE_HOST`].
    route: Route,
    service_limits: Option<ServiceLimits>,
    lifecycle: RequestLifecycle,
}

// === impl InternalFront ===

impl InternalFront {
    /// Makes the front of the service at `route`, whose pattern and hosts do not matter here. The route's
    /// limits apply, and count together with all routes of the same
    /// [`service_limits`](Route::service_limits), or separately without one.
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

    /// Sets the access log for its requests.
    #[must_use]
    pub fn with_access(mut self, access: AccessLog) -> Self {
        self.lifecycle.access = access;
        self
    }

    /// Sets whether answers say why a request failed. See [`FrontParams::explain`].
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
                // The rest of an unread body is dropped: there is no connection to keep.
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
