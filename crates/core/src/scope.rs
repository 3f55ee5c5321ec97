use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use http::uri::Authority;
use opentelemetry::trace::{SpanContext, SpanId};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::chain::{LinkParts, LinkState, Next, NextCall};
use crate::ending::Ending;
use crate::{ContextError, ContextName, Fault, Hops, RequestContext, RequestId};

/// The state of one incoming request, for as long as work is done for it.
///
/// The front creates it once and passes it explicitly as `Arc<RequestScope>`; nothing reads it from a
/// thread-local or a global. It may outlive the response: a task that the guest spawned keeps it.
#[derive(Debug)]
pub struct RequestScope {
    parts: ScopeParts,
    hops: Hops,
    answered: AtomicBool,
    body_late: AtomicBool,
    /// [`NO_INSTANCE`] if there is none.
    instance: AtomicU64,
    effect: AtomicBool,
    counters: Counters,
    denial: Mutex<Option<Denial>>,
    context: RequestContext,
    ending: Ending,
    cancelled: Ending,
    /// The middleware at work on the request. None while it is the service, or without a chain.
    at_work: Mutex<Option<Arc<str>>>,
    /// True if the request reached its service, behind the middlewares.
    reached: AtomicBool,
    /// The place in a chain of middlewares, for the scope of a link.
    link: Option<LinkState>,
}

/// The identity of a scope. The links of a chain have the request id in common, but not the span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ScopeKey(RequestId, SpanId);

type Denial = Arc<dyn Error + Send + Sync>;

/// No pool ever starts this many instances.
const NO_INSTANCE: u64 = u64::MAX;

/// The parts of a [`RequestScope`].
#[derive(Debug)]
pub struct ScopeParts {
    /// The request's id, made by the front.
    pub id: RequestId,
    /// The trace context that the client sent, if it was well-formed.
    pub parent: Option<SpanContext>,
    /// The request's own server span: the parent of every outgoing request's span.
    pub span: SpanContext,
    /// The service that answers.
    pub service: Arc<str>,
    /// The route pattern that matched, such as `/api/...`.
    pub route: Arc<str>,
    /// The host that the request is for, with its port if given: that of its target or of its `Host` field.
    /// None if it is missing or not valid.
    pub host: Option<Authority>,
    /// The peer address of the client's connection.
    pub client: Option<SocketAddr>,
    /// The time at which the request's head had arrived.
    pub started: Instant,
    /// The deadline of the response head.
    pub deadline: Option<Instant>,
}

/// Counters of what was done for a request, updated as it happens.
#[derive(Debug, Default)]
pub struct Counters {
    /// Outgoing requests, without those denied before any lookup.
    pub outgoing: AtomicU64,
    /// Outgoing requests that the policy denied.
    pub outgoing_denied: AtomicU64,
    /// Bytes of outgoing requests' bodies that were handed to upstreams' connections.
    pub outgoing_sent_bytes: AtomicU64,
    /// Bytes of upstreams' bodies that arrived.
    pub outgoing_received_bytes: AtomicU64,
    /// Bytes of the request's body that arrived.
    pub request_bytes: AtomicU64,
    /// Bytes of the response's body that were handed to the connection.
    pub response_bytes: AtomicU64,
    /// Lines of the guest's output that were logged.
    pub log_lines: AtomicU64,
    /// CPU time of the guest, in nanoseconds. While several requests are in an instance and none computes for
    /// longer than an epoch tick, they share it equally.
    pub cpu_nanos: AtomicU64,
}

impl RequestScope {
    /// Creates the scope of a new request that came straight from its client.
    #[must_use]
    pub fn new(parts: ScopeParts) -> Arc<Self> {
        Self::by_way_of(Hops::default(), parts)
    }

    /// Creates the scope of a new request that came through `hops`.
    #[must_use]
    pub fn by_way_of(hops: Hops, parts: ScopeParts) -> Arc<Self> {
        Arc::new(Self::with(hops, parts, None))
    }

    /// Creates the scope of a link of a chain, which works for the request of `caller`.
    ///
    /// It is the same request: the id, the client and the counters are those of the root. The link has a
    /// span, a deadline and an end of its own.
    #[must_use]
    pub fn of_link(caller: &Arc<Self>, link: LinkParts) -> Arc<Self> {
        let LinkParts {
            span,
            service,
            deadline,
            next,
        } = link;
        let root = caller.link.as_ref().map_or(caller, LinkState::root);
        let parts = ScopeParts {
            id: root.id(),
            // The root has it.
            parent: None,
            span,
            service,
            route: Arc::clone(root.route()),
            host: root.host().cloned(),
            client: root.client(),
            started: root.started(),
            deadline,
        };
        let state = LinkState::new(Arc::clone(root), next);
        Arc::new(Self::with(root.hops().clone(), parts, Some(state)))
    }

    fn with(hops: Hops, parts: ScopeParts, link: Option<LinkState>) -> Self {
        Self {
            parts,
            hops,
            answered: AtomicBool::new(false),
            body_late: AtomicBool::new(false),
            instance: AtomicU64::new(NO_INSTANCE),
            effect: AtomicBool::new(false),
            counters: Counters::default(),
            denial: Mutex::default(),
            context: RequestContext::default(),
            ending: Ending::default(),
            cancelled: Ending::default(),
            at_work: Mutex::default(),
            reached: AtomicBool::new(false),
            link,
        }
    }

    /// Returns the scope of the request as it came from its client: the one that every link's scope was
    /// made from, or this one.
    #[must_use]
    pub fn root(&self) -> &Self {
        self.link.as_ref().map_or(self, |link| link.root())
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.parts.id
    }

    /// The identity of this scope, among those of the request.
    #[must_use]
    pub fn key(&self) -> ScopeKey {
        ScopeKey(self.parts.id, self.parts.span.span_id())
    }

    /// The trace context that the client sent.
    #[must_use]
    pub fn parent(&self) -> Option<&SpanContext> {
        self.root().parts.parent.as_ref()
    }

    /// The request's own server span.
    #[must_use]
    pub fn span(&self) -> &SpanContext {
        &self.parts.span
    }

    /// The service that answers.
    #[must_use]
    pub fn service(&self) -> &Arc<str> {
        &self.parts.service
    }

    /// The route pattern that matched.
    #[must_use]
    pub fn route(&self) -> &Arc<str> {
        &self.parts.route
    }

    /// The host that the request is for, with its port if it names one.
    #[must_use]
    pub fn host(&self) -> Option<&Authority> {
        self.parts.host.as_ref()
    }

    /// The client's address.
    #[must_use]
    pub fn client(&self) -> Option<SocketAddr> {
        self.parts.client
    }

    /// The time at which the request's head had arrived.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.parts.started
    }

    /// The deadline of the response head.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.parts.deadline
    }

    /// Returns the hosts that the request came through.
    #[must_use]
    pub fn hops(&self) -> &Hops {
        &self.hops
    }

    /// Records that the response's head is decided: the deadline no longer applies.
    pub fn set_answered(&self) {
        // Orders no other data.
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Returns true if the response's head is decided.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// Returns the deadline of the response head until the head is decided.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.parts.deadline.filter(|_| !self.is_answered())
    }

    /// Records that the deadline passed while the handler waited for more of the request's body.
    pub fn set_body_late(&self) {
        // The same task sets and reads it.
        self.body_late.store(true, Ordering::Relaxed);
    }

    /// Returns true if the deadline passed while the handler waited for more of the request's body: then the
    /// handler is not to blame.
    #[must_use]
    pub fn is_body_late(&self) -> bool {
        self.root().body_late.load(Ordering::Relaxed)
    }

    /// Records the number of the instance that the request was given to. The last one counts: a request may
    /// be retried.
    pub fn set_instance(&self, number: u64) {
        // For reporting only, like the counters.
        self.instance.store(number, Ordering::Relaxed);
    }

    /// Returns the number of the service's instance that the request was given to. None if there is none, or
    /// if instances have no numbers (WAGI).
    #[must_use]
    pub fn instance(&self) -> Option<u64> {
        let number = self.instance.load(Ordering::Relaxed);
        (number != NO_INSTANCE).then_some(number)
    }

    /// Records that a host interface was called for the request, which may have had a lasting effect.
    pub fn note_effect(&self) {
        // Read only after the instance is gone.
        self.effect.store(true, Ordering::Relaxed);
    }

    /// Returns true if an effect was [recorded](Self::note_effect).
    #[must_use]
    pub fn had_effect(&self) -> bool {
        self.effect.load(Ordering::Relaxed)
    }

    /// Returns the counters.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.root().counters
    }

    /// Returns the context of the request. All links of a chain have it in common.
    #[must_use]
    pub fn context(&self) -> &RequestContext {
        &self.root().context
    }

    /// Sets a value of the request's context, or removes it. `traced` is true if spans shall show it.
    ///
    /// # Errors
    ///
    /// Returns an error, and changes nothing, if the value has control characters or exceeds a bound of the
    /// context.
    pub fn set_context(
        &self,
        name: &ContextName,
        value: Option<&str>,
        traced: bool,
    ) -> Result<(), ContextError> {
        match value {
            Some(value) => self.context().set(name, value, traced)?,
            None => self.context().remove(name),
        }
        if let Some(link) = &self.link {
            link.set_touched();
        }
        Ok(())
    }

    /// Records why an outgoing request made for this one was denied.
    pub fn set_denial(&self, denial: Denial) {
        *self.root().denial.lock() = Some(denial);
    }

    /// Returns why the last denied outgoing request was denied, if any was.
    #[must_use]
    pub fn denial(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        self.root().denial.lock().clone()
    }

    /// Records that nobody waits for the answer any more: the client went away, the deadline passed, or the
    /// last byte was sent.
    pub fn end(&self) {
        self.ending.end();
    }

    /// Records that nobody waits for the answer, although it was not complete: the client went away, or
    /// the deadline passed. A link that waits for the next is told so.
    pub fn cancel(&self) {
        self.cancelled.end();
        self.ending.end();
    }

    /// Returns true if the request was [cancelled](Self::cancel).
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.is_over()
    }

    /// Returns a token that is cancelled when the request is [cancelled](Self::cancel), but not at the end
    /// of a complete answer.
    #[must_use]
    pub fn cancelled(&self) -> &CancellationToken {
        self.cancelled.token()
    }

    /// Returns the handler behind this link, for a link that is a middleware.
    #[must_use]
    pub fn next(&self) -> Option<&Arc<dyn Next>> {
        self.link.as_ref()?.next()
    }

    /// Records a call of the handler behind this link, until the returned value is dropped.
    #[must_use]
    pub fn call_next(self: &Arc<Self>) -> NextCall {
        if let Some(link) = &self.link {
            link.begin_call();
        }
        NextCall(Arc::clone(self))
    }

    pub(crate) fn end_call(&self) {
        if let Some(link) = &self.link {
            link.end_call();
        }
    }

    /// Returns true if the link has called the handler behind it, or set a value of the request's context:
    /// then the request cannot go on as if it had not been there.
    #[must_use]
    pub fn has_touched(&self) -> bool {
        self.link.as_ref().is_some_and(LinkState::has_touched)
    }

    /// Returns true if the link waits for the handler behind it: then it is not to blame for a missed
    /// deadline.
    #[must_use]
    pub fn is_waiting_for_next(&self) -> bool {
        self.link.as_ref().is_some_and(LinkState::is_waiting)
    }

    /// Records why the handler behind this link gave no proper answer. The last one counts.
    pub fn set_next_fault(&self, fault: Fault) {
        if let Some(link) = &self.link {
            link.set_fault(fault);
        }
    }

    /// Takes the recorded reason why the handler behind this link gave no proper answer.
    #[must_use]
    pub fn take_next_fault(&self) -> Option<Fault> {
        self.link.as_ref()?.take_fault()
    }

    /// Records which middleware works on the request; `None` for its service.
    pub fn set_at_work(&self, middleware: Option<&Arc<str>>) {
        *self.root().at_work.lock() = middleware.cloned();
    }

    /// Adds the middleware that works on the request to a fault that names none.
    #[must_use]
    pub fn blame(&self, fault: Fault) -> Fault {
        match self.root().at_work.lock().clone() {
            Some(middleware) => fault.at_middleware(&middleware, self.is_reached()),
            None => fault,
        }
    }

    /// Records that the request reached its service, behind the middlewares.
    pub fn set_reached(&self) {
        // For reporting only.
        self.root().reached.store(true, Ordering::Relaxed);
    }

    /// Returns true if the request has reached its service, behind the middlewares.
    #[must_use]
    pub fn is_reached(&self) -> bool {
        self.root().reached.load(Ordering::Relaxed)
    }

    /// Returns true if nobody waits for the answer any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.is_over()
    }

    /// Returns a token that is cancelled when nobody waits for the answer any more. The token is made on
    /// first use; [`is_over`](Self::is_over) is cheaper for a check.
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        self.ending.token()
    }
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        // Counters are for reporting only and order nothing.
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
