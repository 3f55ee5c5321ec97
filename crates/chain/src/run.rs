//! The way of one request through a chain.

use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use headwater_core::{
    Attribution, Blame, Body, Fault, Handler, HandlerFuture, LinkParts, Next, RequestScope,
};
use headwater_telemetry::{LinkRequest, LinkSpan, propagation};
use http::header::{HOST, HeaderValue};
use http::{Method, Request, Response, Uri};

use crate::chain::{Chain, FailMode, Middleware, Target};
use crate::kept_request::KeptRequest;
use crate::link_body::LinkBody;
use crate::response_head;

/// One request in a chain.
pub(crate) struct Run {
    chain: Chain,
    uri: Uri,
}

/// The rest of a chain, behind a middleware.
struct Rest {
    run: Arc<Run>,
    /// The link that is called next.
    at: usize,
}

/// A link of the chain.
enum Link<'a> {
    Middleware(&'a Middleware),
    Service(&'a Target),
}

/// One call of a link, until its response ends. If it is dropped before that, nobody waits any more.
pub(crate) struct LinkGuard {
    pub(crate) scope: Arc<RequestScope>,
    pub(crate) span: LinkSpan,
    /// None for the service.
    pub(crate) middleware: Option<Arc<str>>,
    is_over: bool,
}

/// The result of calling a link.
struct Outcome {
    answer: Result<Response<Body>, Fault>,
    /// True if the middleware failed early, and the request goes on without it.
    goes_on: bool,
}

// === impl Run ===

impl Run {
    pub(crate) fn start(
        chain: Chain,
        request: Request<Body>,
        root: Arc<RequestScope>,
    ) -> HandlerFuture {
        let run = Arc::new(Self {
            chain,
            uri: request.uri().clone(),
        });
        run.enter(0, request, root, None)
    }

    /// Hands a request to a link. Boxed, because a link may pass it on to the next.
    fn enter(
        self: Arc<Self>,
        at: usize,
        request: Request<Body>,
        caller: Arc<RequestScope>,
        attribution: Option<Attribution>,
    ) -> HandlerFuture {
        Box::pin(async move {
            let attribution = attribution.as_ref();
            match self.link(at) {
                Link::Middleware(middleware) if middleware.fail == FailMode::Open => {
                    self.try_open(at, request, caller, attribution).await
                }
                _ => {
                    self.call(at, request, &caller, attribution, None)
                        .await
                        .answer
                }
            }
        })
    }

    /// Calls a middleware, and the next in its place if it fails before it touched the request.
    async fn try_open(
        self: &Arc<Self>,
        at: usize,
        request: Request<Body>,
        caller: Arc<RequestScope>,
        attribution: Option<&Attribution>,
    ) -> Result<Response<Body>, Fault> {
        let (request, kept) = KeptRequest::keep(request);
        let called = self.call(at, request, &caller, attribution, Some(&kept));
        let Outcome { answer, goes_on } = called.await;
        let fault = match answer {
            Err(fault) if goes_on => fault,
            answer => return answer,
        };
        let request = kept.take();
        tracing::warn!(
            target: "headwater::chain",
            request_id = %caller.id(),
            service = &*self.chain.0.target.service,
            middleware = &**self.link(at).name(),
            kind = fault.kind(),
            cause = fault.cause(),
            "the middleware failed, and the request goes on without it"
        );
        let attribution = attribution.cloned();
        Arc::clone(self)
            .enter(at + 1, request, caller, attribution)
            .await
    }

    async fn call(
        self: &Arc<Self>,
        at: usize,
        mut request: Request<Body>,
        caller: &Arc<RequestScope>,
        attribution: Option<&Attribution>,
        kept: Option<&KeptRequest>,
    ) -> Outcome {
        let link = self.link(at);
        let name = link.name();
        let middleware = match link {
            Link::Middleware(middleware) => Some(Arc::clone(&middleware.name)),
            Link::Service(_) => None,
        };
        let span = LinkSpan::start(&LinkRequest {
            id: caller.id(),
            parent: caller.span(),
            service: name,
            is_middleware: middleware.is_some(),
            attribution,
        });
        let own = Instant::now().checked_add(match link {
            Link::Middleware(middleware) => {
                middleware.timeout.unwrap_or(self.chain.0.target.timeout)
            }
            Link::Service(target) => target.timeout,
        });
        let due = caller.due();
        let deadline = match (own, due) {
            (Some(own), Some(due)) => Some(own.min(due)),
            (one, other) => one.or(other),
        };
        let next = middleware.is_some().then(|| {
            let run = Arc::clone(self);
            Arc::new(Rest { run, at: at + 1 }) as Arc<dyn Next>
        });
        let scope = RequestScope::of_link(
            caller,
            LinkParts {
                span: span.context().clone(),
                service: Arc::clone(name),
                deadline,
                next,
            },
        );
        scope.set_at_work(middleware.as_ref());
        if middleware.is_none() {
            scope.set_reached();
        }
        let mut guard = LinkGuard {
            scope: Arc::clone(&scope),
            span,
            middleware,
            is_over: false,
        };
        let handler = link.handler();
        if handler.wants_introduction() {
            introduce(&scope, &mut request);
        }
        let method = request.method().clone();
        // The deadline of the caller is enforced where it was set.
        let enforced = deadline.filter(|deadline| due.is_none_or(|due| *deadline < due));
        let handled = handler.handle(request, Arc::clone(&scope));
        let answered = in_time(handled, enforced, &guard).await;
        // The caller goes on, whatever it is.
        scope.set_at_work(caller.next().map(|_| caller.service()));
        let mut goes_on = false;
        let answer = match answered.and_then(|response| guard.checked(response, &method)) {
            Ok(response) => {
                scope.set_answered();
                guard.span.response(response.status());
                Ok(LinkBody::wrap(response, &method, guard))
            }
            Err(fault) => {
                // From now on the middleware cannot call the next.
                scope.cancel();
                let fault = guard.failed(fault);
                let is_untouched = kept.is_some_and(KeptRequest::is_untouched);
                if is_untouched && is_failure(&fault) && !scope.has_touched() {
                    guard.span.passed_open();
                    goes_on = true;
                }
                Err(fault)
            }
        };
        Outcome { answer, goes_on }
    }

    fn link(&self, at: usize) -> Link<'_> {
        let links = &self.chain.0;
        match links.middlewares.get(at) {
            Some(middleware) => Link::Middleware(middleware),
            None => Link::Service(&links.target),
        }
    }
}

/// Returns true if a middleware gave no answer: it trapped, was too late, could not be started, or gets no
/// requests for a while.
fn is_failure(fault: &Fault) -> bool {
    match fault.blame() {
        Blame::Guest => !fault.is_error_code(),
        Blame::Overload | Blame::Host => true,
        Blame::Client | Blame::Upstream => false,
    }
}

/// Waits for a link's answer until its own deadline, if there is one.
async fn in_time(
    mut handled: HandlerFuture,
    deadline: Option<Instant>,
    guard: &LinkGuard,
) -> Result<Response<Body>, Fault> {
    let Some(deadline) = deadline else {
        return handled.await;
    };
    // Polled without a timer first, for a handler that answers at once.
    if let Poll::Ready(answered) = poll_once(&mut handled).await {
        return answered;
    }
    let waited = tokio::time::timeout_at(deadline.into(), &mut handled).await;
    waited.unwrap_or_else(|_elapsed| {
        let fault = guard.scope.blame(Fault::deadline());
        drop(handled);
        Err(fault)
    })
}

async fn poll_once(handled: &mut HandlerFuture) -> Poll<Result<Response<Body>, Fault>> {
    std::future::poll_fn(|cx| Poll::Ready(handled.as_mut().poll(cx))).await
}

/// Tells the link about the request, as the front does: its span is the link's, so that a guest that copies
/// the fields names it.
fn introduce(scope: &RequestScope, request: &mut Request<Body>) {
    let authority = request.uri().authority();
    let host = authority.and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    let headers = request.headers_mut();
    propagation::introduce(scope.span(), headers);
    if let Ok(id) = HeaderValue::from_str(&scope.id().to_string()) {
        headers.insert(propagation::X_REQUEST_ID, id);
    }
    // A middleware does not see it, so it is lost on the way.
    if let (Some(host), false) = (host, headers.contains_key(HOST)) {
        headers.insert(HOST, host);
    }
}

// === impl Rest ===

impl Next for Rest {
    fn call(&self, request: Request<Body>, attribution: Attribution) -> HandlerFuture {
        let Some(caller) = attribution.scope().cloned() else {
            let fault = Fault::host("attribution")
                .caused_by("the middleware called the next for a request that is not known");
            return Box::pin(async { Err(fault) });
        };
        let id = caller.id();
        let answer = Arc::clone(&self.run).enter(self.at, request, caller, Some(attribution));
        Box::pin(async move {
            answer.await.or_else(|fault| match fault.blame() {
                Blame::Client => Ok(fault.answer(id, "")),
                _ => Err(fault),
            })
        })
    }

    fn uri(&self) -> &Uri {
        &self.run.uri
    }
}

// === impl Link ===

impl<'a> Link<'a> {
    fn name(&self) -> &'a Arc<str> {
        match self {
            Self::Middleware(middleware) => &middleware.name,
            Self::Service(target) => &target.service,
        }
    }

    fn handler(&self) -> &'a dyn Handler {
        match self {
            Self::Middleware(middleware) => &*middleware.handler,
            Self::Service(target) => &*target.handler,
        }
    }
}

// === impl LinkGuard ===

impl LinkGuard {
    /// Checks a middleware's response before anything of it goes on. The front checks the service's.
    fn checked(&self, response: Response<Body>, method: &Method) -> Result<Response<Body>, Fault> {
        match self.middleware {
            Some(_) => response_head::check(response, method),
            None => Ok(response),
        }
    }

    /// Records a fault, and returns it with the name of the middleware that it comes from. A middleware that
    /// returns the error of the next is not to blame for it.
    pub(crate) fn failed(&mut self, fault: Fault) -> Fault {
        let fault = match self.scope.take_next_fault() {
            Some(next) if fault.is_error_code() => next,
            _ => self.named(fault),
        };
        self.span.fault(&fault);
        fault
    }

    /// As [`failed`](Self::failed), for a response that was cut: it may have been the next's.
    pub(crate) fn cut(&mut self, fault: Fault) -> Fault {
        let fault = match self.scope.take_next_fault() {
            // It names its link already, unless it is the service's.
            Some(next) => next,
            None => self.named(fault),
        };
        self.span.fault(&fault);
        fault
    }

    fn named(&self, fault: Fault) -> Fault {
        match &self.middleware {
            Some(name) => fault.at_middleware(name, self.scope.is_reached()),
            None => fault,
        }
    }

    /// Records that the response is complete.
    pub(crate) fn end(&mut self) {
        self.is_over = true;
        self.scope.end();
    }
}

impl Drop for LinkGuard {
    fn drop(&mut self) {
        if !self.is_over {
            self.scope.cancel();
        }
    }
}
