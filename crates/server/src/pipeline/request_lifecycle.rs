//! The steps of every request, from the network or from a service of this host.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use futures::FutureExt;
use headwater_core::fields::{DeclaredLength, settle_length, strip_hop_by_hop};
use headwater_core::{
    Blame, Body, Caller, Fault, Handler, HandlerFuture, LoopGuard, RequestId, RequestScope,
    ScopeParts,
};
use headwater_telemetry::metrics::RequestStart;
use headwater_telemetry::{
    AccessLog, AccessStart, Metrics, ServerRequest, ServerSpan, propagation,
};
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;

use crate::admission::overload_log::OverloadLog;
use crate::pipeline::request_guard::{RequestGuard, Scoped};
use crate::pipeline::response_body::ResponseBody;
use crate::request::body_wait::{Trouble, Wait};
use crate::response::answer::{answer, log};
use crate::response::explanation::{EXPLAIN, Explanation};

#[derive(Debug, Clone)]
pub(crate) struct RequestLifecycle {
    pub(crate) metrics: Metrics,
    pub(crate) access: AccessLog,
    pub(crate) loops: LoopGuard,
    pub(crate) overload_log: Arc<OverloadLog>,
    /// If true, answers say why a request failed.
    pub(crate) explain: bool,
}

/// A request whose head has arrived, with an absolute URI.
pub(crate) struct Arrival<'a> {
    pub(crate) parts: &'a Parts,
    pub(crate) started: Instant,
    /// The deadline of the response head, if the request has a route.
    pub(crate) deadline: Option<Instant>,
    pub(crate) service: &'a Arc<str>,
    pub(crate) route: &'a Arc<str>,
    /// The client's address, for a request from the network.
    pub(crate) client: Option<SocketAddr>,
    pub(crate) local: Option<SocketAddr>,
    pub(crate) tls: bool,
    /// The caller, for a request from a service.
    pub(crate) caller: Option<&'a Caller>,
}

/// A request that its handler works on, or that was refused.
pub(crate) struct Handling {
    pub(crate) guard: RequestGuard,
    /// The handler's future and the request's method, or the refusal.
    pub(crate) handled: Result<(HandlerFuture, Method), Fault>,
}

// === impl RequestLifecycle ===

impl RequestLifecycle {
    /// Gives the request its id, starts its span, and makes its scope.
    pub(crate) fn begin(&self, arrival: Arrival<'_>) -> Scoped {
        let Arrival {
            parts,
            started,
            deadline,
            service,
            route,
            client,
            local,
            tls,
            caller,
        } = arrival;
        let id = RequestId::new();
        let parent = propagation::extract(&parts.headers);
        let span = ServerSpan::start(ServerRequest {
            id,
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            service,
            route,
            client,
            server: local,
            parent: parent.as_ref(),
            caller,
        });
        let hops = self.loops.read(&parts.headers);
        let scope = RequestScope::by_way_of(
            hops,
            ScopeParts {
                id,
                parent,
                span: span.context().clone(),
                service: Arc::clone(service),
                route: Arc::clone(route),
                host: parts.uri.authority().cloned(),
                client,
                started,
                deadline,
            },
        );
        let measure = self.metrics.begin_request(RequestStart {
            method: &parts.method,
            tls,
            version: parts.version,
            service,
            route,
            started,
        });
        let access = self.access.begin(AccessStart {
            scope: &scope,
            method: &parts.method,
            uri: &parts.uri,
            version: parts.version,
            headers: &parts.headers,
            caller,
        });
        Scoped {
            scope,
            span,
            measure,
            access,
        }
    }

    /// Calls the handler, unless the request is in a loop.
    pub(crate) fn handle(
        &self,
        handler: &dyn Handler,
        mut request: Request<Body>,
        guard: &RequestGuard,
    ) -> Result<(HandlerFuture, Method), Fault> {
        let scope = guard.scope();
        self.loops.admit(scope.hops())?;
        let method = request.method().clone();
        if handler.wants_introduction() {
            // Replaces the client's trace and id fields by the request's own, which a guest may pass on.
            propagation::introduce(scope.span(), request.headers_mut());
            guard.name(request.headers_mut());
        }
        // After a panic, nothing that it may have left half-changed is used again.
        let call = AssertUnwindSafe(|| handler.handle(request, Arc::clone(scope)));
        let answer = std::panic::catch_unwind(call).map_err(|panic| panicked(&*panic))?;
        Ok((answer, method))
    }

    fn log(&self, fault: &Fault, scope: &Arc<RequestScope>) {
        let mut left_out = Some(0);
        if fault.blame() == Blame::Overload {
            let log = &self.overload_log;
            left_out = log.tell(scope.service(), fault.kind(), Instant::now());
        }
        if let Some(left_out) = left_out {
            log(fault, scope, left_out);
        }
    }

    /// Waits for the handler, and returns the response.
    pub(crate) async fn answer(&self, handling: Handling) -> Response<ResponseBody> {
        let Handling { guard, handled } = handling;
        let answered = match handled {
            Ok((answer, method)) => wait_for(answer, &method, &guard).await,
            Err(fault) => Err(fault),
        };
        self.conclude(answered, guard)
    }

    fn conclude(
        &self,
        answered: Result<Sendable, Fault>,
        mut guard: RequestGuard,
    ) -> Response<ResponseBody> {
        let explanation = self
            .explain
            .then(|| Explanation::of(guard.scope(), answered.as_ref().err()));
        let id = guard.scope().id();
        let Sendable {
            mut response,
            length,
        } = answered.unwrap_or_else(|fault| {
            self.log(&fault, guard.scope());
            guard.failed(&fault);
            let mut response = answer(&fault, id, explanation.as_ref());
            if fault.status() == StatusCode::LOOP_DETECTED {
                self.loops.sign(&mut response);
            }
            Sendable {
                response,
                length: None,
            }
        });
        if let Some(explanation) = explanation {
            explanation.put(response.headers_mut());
        }
        guard.answered(response.status(), response.headers_mut());
        response.map(|body| ResponseBody::new(body, guard, length))
    }
}

/// Waits for the handler's answer under the deadline, and catches panics. A fault of the request's body takes
/// precedence over the handler's answer, which is to an incomplete request.
async fn wait_for(
    answer: HandlerFuture,
    method: &Method,
    guard: &RequestGuard,
) -> Result<Sendable, Fault> {
    let (scope, body) = (guard.scope(), guard.wait());
    let mut handled = AssertUnwindSafe(answer).catch_unwind();
    // Polled without a timer first, for a handler that answers at once.
    let caught = match (futures::poll!(&mut handled), scope.deadline()) {
        (Poll::Ready(caught), _) => caught,
        (Poll::Pending, None) => handled.await,
        (Poll::Pending, Some(deadline)) => {
            match tokio::time::timeout_at(deadline.into(), &mut handled).await {
                Ok(caught) => caught,
                Err(_elapsed) => {
                    // Called before the handler's future is dropped, which may own the body.
                    let late = body.and_then(Wait::due);
                    drop(handled);
                    // Tells whatever outlives the handler.
                    scope.cancel();
                    let deadline = || scope.blame(Fault::deadline());
                    return Err(late.map_or_else(deadline, Trouble::fault));
                }
            }
        }
    };
    let answered = caught.unwrap_or_else(|panic| Err(panicked(&*panic)));
    let trouble = body.and_then(|body| match &answered {
        // The handler enforced the deadline itself.
        Err(fault) if fault.is_deadline() => body.due(),
        _ => body.trouble(),
    });
    let response = trouble.map_or(answered, |trouble| Err(trouble.fault()))?;
    Sendable::check(response, method)
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> Fault {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(no text)");
    Fault::host("panic").caused_by(format!("the handler panicked: {text}"))
}

/// A response whose head and body agree.
pub(crate) struct Sendable {
    response: Response<Body>,
    length: Option<u64>,
}

impl Sendable {
    /// Removes fields that are not the service's to set, and refuses a `content-length` that is known to be
    /// wrong: hyper would send it beside a body of another length, and client and server would disagree on
    /// where the next response begins. (If the length of a body is not known beforehand, hyper cuts a body
    /// that is too long, and closes the connection if it is too short.)
    fn check(mut response: Response<Body>, method: &Method) -> Result<Self, Fault> {
        strip_hop_by_hop(response.headers_mut());
        response.headers_mut().remove(EXPLAIN);
        if response.status().is_informational() {
            return Err(Fault::bad_response(
                "the service sent an interim status as its answer",
            ));
        }
        let length = match settle_length(response.headers_mut()) {
            DeclaredLength::None => None,
            DeclaredLength::Exactly(length) => Some(length),
            DeclaredLength::Invalid => {
                return Err(Fault::bad_response(
                    "the service sent an invalid content-length",
                ));
            }
        };
        if ResponseBody::is_forbidden(method, response.status()) {
            // Keeps the length of the body that a GET would have had.
            *response.body_mut() = headwater_core::empty();
            if response.status() == StatusCode::NO_CONTENT {
                // A 204 has no length, whatever the method (RFC 9110, 8.6).
                response.headers_mut().remove(CONTENT_LENGTH);
            }
            return Ok(Self {
                response,
                length: None,
            });
        }
        if let (Some(length), Some(actual)) = (length, response.body().size_hint().exact())
            && length != actual
        {
            return Err(Fault::bad_response(
                "the service sent a content-length that does not match its body",
            )
            .caused_by(format!("content-length {length}, body of {actual} bytes")));
        }
        Ok(Self { response, length })
    }
}
