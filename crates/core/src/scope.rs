use std::error::Error;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use http::uri::Authority;
use opentelemetry::trace::SpanContext;
use tokio_util::sync::CancellationToken;

use crate::ending::Ending;
use crate::{Hops, RequestId};

/// What is known of one incoming request, for as long as anything is done in its name.
///
/// Made once, at the front, and passed explicitly as `Arc<RequestScope>`; nothing reads it from a
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
    ending: Ending,
}

/// Why an outgoing request was denied.
type Denial = Arc<dyn Error + Send + Sync>;

/// No pool ever starts so many.
const NO_INSTANCE: u64 = u64::MAX;

/// What a [`RequestScope`] is made of.
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
    /// The host that the request is for, with its port if it names one: that of its target or of its `Host`
    /// field. None if it names none, or what is none.
    pub host: Option<Authority>,
    /// The client's address, as the connection has it.
    pub client: Option<SocketAddr>,
    /// When the request's head had arrived.
    pub started: Instant,
    /// When the response head is due at the latest.
    pub deadline: Option<Instant>,
}

/// What was done for a request, counted as it happens.
#[derive(Debug, Default)]
pub struct Counters {
    /// Outgoing requests made, without those that were denied before anything was looked up for them.
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
    /// CPU time of the guest, in nanoseconds. While several requests are in an instance and none
    /// computes for longer than an epoch tick, each has an equal share of it.
    pub cpu_nanos: AtomicU64,
}

impl RequestScope {
    /// Makes the scope of a request that was just received, straight from its client.
    #[must_use]
    pub fn new(parts: ScopeParts) -> Arc<Self> {
        Self::by_way_of(Hops::default(), parts)
    }

    /// Makes the scope of a request that was just received, and came through these.
    #[must_use]
    pub fn by_way_of(hops: Hops, parts: ScopeParts) -> Arc<Self> {
        Arc::new(Self {
            parts,
            hops,
            answered: AtomicBool::new(false),
            body_late: AtomicBool::new(false),
            instance: AtomicU64::new(NO_INSTANCE),
            effect: AtomicBool::new(false),
            counters: Counters::default(),
            denial: Mutex::default(),
            ending: Ending::default(),
        })
    }

    /// The request's id.
    #[must_use]
    pub fn id(&self) -> RequestId {
        self.parts.id
    }

    /// The trace context that the client sent.
    #[must_use]
    pub fn parent(&self) -> Option<&SpanContext> {
        self.parts.parent.as_ref()
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

    /// When the request's head had arrived.
    #[must_use]
    pub fn started(&self) -> Instant {
        self.parts.started
    }

    /// When the response head is due at the latest.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.parts.deadline
    }

    /// What the request came through before it arrived.
    #[must_use]
    pub fn hops(&self) -> &Hops {
        &self.hops
    }

    /// The response's head is decided: its deadline binds nothing any more.
    pub fn set_answered(&self) {
        // Nothing else is read by it.
        self.answered.store(true, Ordering::Relaxed);
    }

    /// Whether the response's head is decided.
    #[must_use]
    pub fn is_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    /// When the response head is due at the latest, as long as there is none.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.parts.deadline.filter(|_| !self.is_answered())
    }

    /// The deadline passed while whoever answers waited for more of the request's body.
    pub fn set_body_late(&self) {
        // Set and read by whoever ends the request.
        self.body_late.store(true, Ordering::Relaxed);
    }

    /// Whether the deadline passed while whoever answers waited for more of the request's body: then it is
    /// not to blame for that.
    #[must_use]
    pub fn is_body_late(&self) -> bool {
        self.body_late.load(Ordering::Relaxed)
    }

    /// The request was given to the instance of this number. The last one counts: a request may be
    /// tried again.
    pub fn set_instance(&self, number: u64) {
        // For reporting only, as the counters.
        self.instance.store(number, Ordering::Relaxed);
    }

    /// The number of the service's instance that the request was given to. None if it was given to
    /// none, or if instances have no numbers (WAGI).
    #[must_use]
    pub fn instance(&self) -> Option<u64> {
        let number = self.instance.load(Ordering::Relaxed);
        (number != NO_INSTANCE).then_some(number)
    }

    /// Notes that a host interface was called for the request, which may have had an effect that lasts.
    pub fn note_effect(&self) {
        // For who asks when the instance is gone.
        self.effect.store(true, Ordering::Relaxed);
    }

    /// Whether that was [noted](Self::note_effect).
    #[must_use]
    pub fn had_effect(&self) -> bool {
        self.effect.load(Ordering::Relaxed)
    }

    /// What was done for the request so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// An outgoing request that was made for this one was denied.
    pub fn set_denial(&self, denial: Denial) {
        *self.denial.lock().unwrap_or_else(PoisonError::into_inner) = Some(denial);
    }

    /// Why the last of the outgoing requests that were denied was, if any was.
    #[must_use]
    pub fn denial(&self) -> Option<Arc<dyn Error + Send + Sync>> {
        let denial = self.denial.lock();
        denial.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody waits for the answer any more: the client went away, the deadline passed, or the last byte
    /// was sent.
    pub fn end(&self) {
        self.ending.end();
    }

    /// Whether nobody waits for the answer any more.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ending.is_over()
    }

    /// Cancelled when nobody waits for the answer any more. Made when first asked for; who only wants to
    /// know whether it is so asks [`is_over`](Self::is_over).
    #[must_use]
    pub fn cancellation(&self) -> &CancellationToken {
        self.ending.token()
    }
}

impl Counters {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) {
        // Counters are read for reporting only and order nothing.
        counter.fetch_add(amount, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}
