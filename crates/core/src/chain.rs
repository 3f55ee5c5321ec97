//! The links of a chain: middlewares in front of a service.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::time::Instant;

use http::{Request, Uri};
use opentelemetry::trace::SpanContext;
use parking_lot::Mutex;

use crate::{Attribution, Body, Fault, HandlerFuture, RequestScope};

/// The handler behind a middleware, for one request.
pub trait Next: Send + Sync + 'static {
    /// Hands a request to the handler. The attribution must be exact: it names the link that calls.
    ///
    /// Faults of the client, such as a missing file, are responses. Dropping the future, or the response's
    /// body before its end, means that the caller no longer waits.
    fn call(&self, request: Request<Body>, attribution: Attribution) -> HandlerFuture;

    /// Returns the URI of the request as it came, with its scheme and authority.
    fn uri(&self) -> &Uri;
}

/// The parts of a link's scope.
pub struct LinkParts {
    /// The link's span: the parent of the spans of its outgoing requests.
    pub span: SpanContext,
    /// The middleware or the service.
    pub service: Arc<str>,
    /// The deadline of the link's response head.
    pub deadline: Option<Instant>,
    /// The handler behind it, for a middleware.
    pub next: Option<Arc<dyn Next>>,
}

/// A call of the next handler that is waited for, until it is dropped.
#[derive(Debug)]
pub struct NextCall(pub(crate) Arc<RequestScope>);

/// The state of a link's scope.
pub(crate) struct LinkState {
    root: Arc<RequestScope>,
    next: Option<Arc<dyn Next>>,
    /// The number of calls of `next` that are waited for.
    waiting: AtomicUsize,
    /// True if it has called `next`, or set a value of the request's context.
    has_touched: AtomicBool,
    fault: Mutex<Option<Fault>>,
}

// === impl LinkState ===

// The counters are read by the host alone, and order no other data.
impl LinkState {
    pub(crate) fn new(root: Arc<RequestScope>, next: Option<Arc<dyn Next>>) -> Self {
        Self {
            root,
            next,
            waiting: AtomicUsize::new(0),
            has_touched: AtomicBool::new(false),
            fault: Mutex::default(),
        }
    }

    pub(crate) fn root(&self) -> &Arc<RequestScope> {
        &self.root
    }

    pub(crate) fn next(&self) -> Option<&Arc<dyn Next>> {
        self.next.as_ref()
    }

    pub(crate) fn begin_call(&self) {
        self.set_touched();
        // Either this call sees that the link was cancelled, or whoever cancelled it sees the call.
        fence(Ordering::SeqCst);
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn end_call(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn set_touched(&self) {
        self.has_touched.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_touched(&self) -> bool {
        self.has_touched.load(Ordering::Relaxed)
    }

    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        *self.fault.lock() = Some(fault);
    }

    pub(crate) fn take_fault(&self) -> Option<Fault> {
        self.fault.lock().take()
    }
}

impl fmt::Debug for LinkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LinkState")
            .field("root", &self.root.id())
            .field("is_middleware", &self.next.is_some())
            .finish_non_exhaustive()
    }
}

// === impl NextCall ===

impl Drop for NextCall {
    fn drop(&mut self) {
        self.0.end_call();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{Counters, RequestId, ScopeParts};

    fn root() -> Arc<RequestScope> {
        RequestScope::new(ScopeParts {
            id: RequestId::new(),
            parent: None,
            span: SpanContext::empty_context(),
            service: "shop".into(),
            route: "/...".into(),
            host: None,
            client: None,
            started: Instant::now(),
            deadline: None,
        })
    }

    fn link(caller: &Arc<RequestScope>, service: &str) -> Arc<RequestScope> {
        RequestScope::of_link(
            caller,
            LinkParts {
                span: SpanContext::empty_context(),
                service: service.into(),
                deadline: Some(Instant::now() + Duration::from_secs(1)),
                next: None,
            },
        )
    }

    #[test]
    fn a_link_works_for_the_request_of_the_root_and_ends_by_itself() {
        let root = root();
        let auth = link(&root, "auth");
        let shop = link(&auth, "shop");
        assert_eq!((shop.id(), &**auth.service()), (root.id(), "auth"));
        Counters::add(&shop.counters().outgoing, 2);
        assert_eq!(Counters::get(&root.counters().outgoing), 2);
        assert!(shop.deadline().is_some() && root.deadline().is_none());
        shop.end();
        assert!(shop.is_over() && !shop.is_cancelled() && !auth.is_over());
        auth.cancel();
        assert!(auth.is_over() && auth.is_cancelled() && !root.is_over());
    }

    #[test]
    fn a_fault_without_a_middleware_gets_the_one_at_work() {
        let root = root();
        assert!(root.blame(Fault::deadline()).middleware().is_none());
        link(&root, "auth").set_at_work(Some(&"auth".into()));
        let fault = root.blame(Fault::deadline());
        assert_eq!(fault.middleware(), Some(("auth", false)));
        link(&root, "shop").set_reached();
        assert_eq!(root.blame(fault).middleware(), Some(("auth", false)));
        root.set_at_work(None);
        assert!(root.blame(Fault::trap()).middleware().is_none());
    }

    #[test]
    fn the_links_of_a_chain_have_one_context_and_setting_a_value_touches_the_request() {
        let root = root();
        let (auth, shop) = (link(&root, "auth"), link(&root, "shop"));
        let user = "user".parse().unwrap();
        auth.set_context(&user, Some("ann"), false).unwrap();
        assert_eq!(shop.context().get(&user).as_deref(), Some("ann"));
        assert!(auth.has_touched() && !shop.has_touched());
        auth.set_context(&user, None, false).unwrap();
        assert!(root.context().list().is_empty());
        let other = self::root();
        auth.set_context(&user, Some("ann"), false).unwrap();
        assert!(other.context().get(&user).is_none());
    }

    #[test]
    fn a_link_waits_for_the_next_until_its_call_is_over() {
        let auth = link(&root(), "auth");
        assert!(!auth.has_touched());
        let call = auth.call_next();
        assert!(auth.is_waiting_for_next());
        drop(call);
        assert!(auth.has_touched() && !auth.is_waiting_for_next());
    }
}
