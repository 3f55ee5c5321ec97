//! The life of one instance: start, event loop, end.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::stream::{FuturesUnordered, StreamExt};
use tokio::time::Sleep;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut, PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::handler::Proxy;

use crate::attribution::{self, ledger::Health};
use crate::memory::MORE_MEMORY;
use crate::one_line::one_line;
use crate::pool::Shared;
use crate::pool::call::{Call, entrance};
use crate::pool::core::{InstanceKey, Retirement};
use crate::pool::inbox::Inbox;
use crate::pool::meter::{CpuTimeExceeded, Meter};
use crate::pool::ticket::{Failure, InstanceRecord};
use crate::state::State;

/// How long a start that found no room in the engine waits for its next try. Room comes when an
/// instance ends, of this service or of another.
const RETRY_START: Duration = Duration::from_millis(20);

/// How long a guest may go on computing without a pause after a request missed its deadline. Those that
/// share its instance cannot get on meanwhile, so there is little to wait for.
const STUCK_GRACE: Duration = Duration::from_secs(1);

/// What the inside of the event loop and its outside know of each other.
///
/// The outside is polled also while a guest computes, which the inside is not (wasmtime issues 11869
/// and 11870): deadlines are enforced there.
struct Pulse {
    /// The inside was polled since the outside looked last.
    beats: AtomicBool,
    /// The guest may be given a request: none of its tasks is computing.
    calm: AtomicBool,
    /// The guest applies backpressure.
    held: AtomicBool,
    /// Calls of the guest that are running.
    running: AtomicUsize,
    phase: Mutex<(Phase, Instant)>,
}

/// What an instance is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// With requests that have no answer yet.
    Requests,
    /// With work that goes on after the last answer.
    PostReturn,
    /// With nothing.
    Idle,
}

/// Why an instance was ended from outside.
#[derive(Debug, thiserror::Error)]
enum Overdue {
    #[error("it went on computing beyond the deadline of a request")]
    Stuck,
    #[error("a request missed its deadline, and others were not done in their time")]
    Late,
    #[error("its work after the response was not done within post_return_timeout")]
    PostReturn,
    #[error("it went on computing for post_return_timeout when nobody waited for it any more")]
    Abandoned,
}

/// An instance was not started within the time that a request has.
#[derive(Debug, thiserror::Error)]
#[error("the component was not instantiated within the time of a request")]
pub(crate) struct SlowStart;

/// Starts an instance and serves what its inbox gives it, to the end.
pub(crate) async fn drive(shared: Arc<Shared>, key: InstanceKey, inbox: Arc<Inbox>) {
    // Whatever becomes of this future, the pool hears that the instance is gone.
    let presence = Presence { shared, key, inbox };
    let shared = &presence.shared;
    let (mut store, proxy) = match start(shared, key).await {
        Ok(started) => started,
        // Nobody waits any more, and the engine has no room: that is no fault of the service.
        Err(error) if error.is::<PoolConcurrencyLimitError>() => return,
        Err(error) => {
            shared.start_failed(key, &error);
            return;
        }
    };
    tracing::debug!(service = %shared.service(), instance = key.0, "instance started");
    shared.started(key);

    let record = InstanceRecord::new(key, store.data().hooks.outgoing.clone());
    let result = serve(shared, key, &presence.inbox, &record, &mut store, &proxy).await;
    let ended = match result {
        Ok(()) => {
            tracing::debug!(service = %shared.service(), instance = key.0, "instance ended");
            Ok(())
        }
        Err(error) => {
            let mut cause = one_line(&error);
            if store.data().memory.refused() {
                cause.push_str("; ");
                cause.push_str(MORE_MEMORY);
            }
            tracing::debug!(service = %shared.service(), instance = key.0, %cause, "instance failed");
            shared.failed();
            let culprit = error.downcast_ref::<CpuTimeExceeded>();
            let culprit = culprit.map(|exceeded| exceeded.request);
            Err(Arc::new(Failure { cause, culprit }))
        }
    };
    record.end(ended);
    drop(store);
}

/// Tells the pool that an instance is gone, when it is dropped.
struct Presence {
    shared: Arc<Shared>,
    key: InstanceKey,
    inbox: Arc<Inbox>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.shared.ended(self.key, &self.inbox);
    }
}

async fn start(shared: &Shared, key: InstanceKey) -> wasmtime::Result<(Store<State>, Proxy)> {
    loop {
        let mut store = shared.blueprint.store(key.0)?;
        let limit = shared.blueprint.request_timeout;
        let started = tokio::time::timeout(limit, shared.pre.instantiate_async(&mut store));
        let started = started
            .await
            .unwrap_or_else(|_elapsed| Err(SlowStart.into()));
        match started {
            Ok(proxy) => return Ok((store, proxy)),
            // The engine's room is shared by all services, and a start that waits for it holds up
            // nobody: requests go to other instances as these come free.
            Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                drop(store);
                if !shared.anyone_waits() {
                    return Err(error);
                }
                shared.neighbours.evict_one();
                tokio::time::sleep(RETRY_START).await;
            }
            Err(error) if store.data().memory.refused() => return Err(error.context(MORE_MEMORY)),
            Err(error) => return Err(error),
        }
    }
}

async fn serve(
    shared: &Arc<Shared>,
    key: InstanceKey,
    inbox: &Inbox,
    record: &Arc<InstanceRecord>,
    store: &mut Store<State>,
    proxy: &Proxy,
) -> wasmtime::Result<()> {
    let pulse = Pulse {
        beats: AtomicBool::new(false),
        calm: AtomicBool::new(true),
        held: AtomicBool::new(false),
        running: AtomicUsize::new(0),
        phase: Mutex::new((Phase::Idle, Instant::now())),
    };
    let pulse = &pulse;
    let meter = store.data().meter.clone();
    let meter = &*meter;
    let mut outside = Outside::new(shared, key, inbox, pulse);
    let mut inside = pin!(store.run_concurrent(async |accessor| {
        Inside {
            shared,
            key,
            inbox,
            record,
            pulse,
            meter,
            proxy,
            accessor,
        }
        .run()
        .await
    }));
    poll_fn(|cx| {
        pulse.beats.store(false, Ordering::Relaxed);
        meter.begin();
        if let Poll::Ready(result) = inside.as_mut().poll(cx) {
            let _ = meter.end();
            return Poll::Ready(result.flatten());
        }
        // Nothing of the guest can run on now: either all its tasks wait, and it may be given the next
        // request, or one computes and has yielded.
        let stuck = !pulse.beats.load(Ordering::Relaxed);
        if !stuck
            && !pulse.calm.swap(true, Ordering::Relaxed)
            && inbox.has_tickets()
            && let Poll::Ready(result) = inside.as_mut().poll(cx)
        {
            let _ = meter.end();
            return Poll::Ready(result.flatten());
        }
        if let Err(exceeded) = meter.end() {
            return Poll::Ready(Err(exceeded.into()));
        }
        outside.poll(cx, stuck)
    })
    .await
}

/// What happens within the event loop.
struct Inside<'a> {
    shared: &'a Arc<Shared>,
    key: InstanceKey,
    inbox: &'a Inbox,
    record: &'a Arc<InstanceRecord>,
    pulse: &'a Pulse,
    meter: &'a Meter,
    proxy: &'a Proxy,
    accessor: &'a Accessor<State>,
}

impl<'a> Inside<'a> {
    async fn run(self) -> wasmtime::Result<()> {
        let mut calls = FuturesUnordered::new();
        let entrance = entrance(self.proxy);
        let composed = self.shared.blueprint.evidence.has_checkpoints();
        poll_fn(|cx| {
            // Before anything else: it is what happens between two work items of the event loop.
            if composed {
                self.checkpoint();
            }
            self.pulse.beats.store(true, Ordering::Relaxed);
            self.meter.between();
            // Polled before each work item: what the guest did in the one before is over.
            self.accessor
                .with(|mut access| access.data_mut().roots.next_turn());
            self.inbox.register(cx.waker());
            loop {
                while let Poll::Ready(Some(returned)) = calls.poll_next_unpin(cx) {
                    let returned: wasmtime::Result<()> = returned;
                    if let Err(error) = returned {
                        return Poll::Ready(Err(error));
                    }
                }
                self.pulse.running.store(calls.len(), Ordering::Relaxed);
                let backpressure = self
                    .accessor
                    .poll_ready_for_concurrent_call(entrance, cx)
                    .is_pending();
                let held = backpressure || (calls.is_empty() && self.has_leftovers(cx));
                if held != self.pulse.held.swap(held, Ordering::Relaxed) {
                    self.shared.lives.hold(self.key, held, Instant::now());
                    self.shared.backpressure(self.key, held, calls.len());
                }
                if held {
                    self.shared.give_back(self.inbox);
                } else if self.pulse.calm.load(Ordering::Relaxed)
                    && let Some(ticket) = self.inbox.pop()
                {
                    if ticket.answer.is_closed() {
                        continue;
                    }
                    // One at a time: whether the guest wants more shows when this one has run as far
                    // as it can.
                    self.pulse.calm.store(false, Ordering::Relaxed);
                    let _ = ticket.instance.set(self.record.clone());
                    self.meter.enter(ticket.scope.clone());
                    let call = self.accessor.with(|mut access| {
                        Call::start(
                            access.as_context_mut(),
                            self.proxy,
                            ticket.request,
                            ticket.scope,
                            ticket.answer,
                        )
                    });
                    match call {
                        Ok(call) => calls.push(call.run(self.accessor)),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    self.enter(Phase::Requests);
                    continue;
                }
                if !calls.is_empty() {
                    return Poll::Pending;
                }
                if self.accessor.poll_no_interesting_tasks(cx).is_pending() {
                    self.enter(Phase::PostReturn);
                    return Poll::Pending;
                }
                if composed {
                    self.accessor
                        .with(|mut access| attribution::settled(access.as_context_mut()));
                }
                if self.inbox.has_tickets() {
                    // Not calm yet; the outside polls again.
                    return Poll::Pending;
                }
                self.meter.idle();
                if self.inbox.retired().is_some() {
                    return Poll::Ready(Ok(()));
                }
                self.enter(Phase::Idle);
                return Poll::Pending;
            }
        })
        .await
    }

    /// Lets the ledger of a composed component's tasks look which are gone.
    fn checkpoint(&self) {
        let health = self
            .accessor
            .with(|mut access| attribution::checkpoint(access.as_context_mut()));
        if health == Health::Outgrown {
            self.shared.outgrown(self.key);
        }
    }

    /// Whether a 0.2 guest still works for a request that nobody waits for any more. It is not given
    /// the next before that, because its calls are attributed to the one request that it has.
    fn has_leftovers(&self, cx: &mut Context<'_>) -> bool {
        matches!(self.proxy, Proxy::P2(_))
            && self.accessor.poll_no_interesting_tasks(cx).is_pending()
    }

    fn enter(&self, phase: Phase) {
        let mut current = self
            .pulse
            .phase
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if current.0 != phase {
            *current = (phase, Instant::now());
            drop(current);
            self.shared.at_work(self.key, phase != Phase::Idle);
        }
    }
}

/// What happens outside of the event loop: time.
struct Outside<'a> {
    shared: &'a Arc<Shared>,
    key: InstanceKey,
    inbox: &'a Inbox,
    pulse: &'a Pulse,
    /// Since when the guest computes without a pause.
    stuck: Option<Instant>,
    /// Since when no answer is being sent, as far as was looked.
    sent: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    due: Option<Instant>,
}

impl<'a> Outside<'a> {
    fn new(shared: &'a Arc<Shared>, key: InstanceKey, inbox: &'a Inbox, pulse: &'a Pulse) -> Self {
        Self {
            shared,
            key,
            inbox,
            pulse,
            stuck: None,
            sent: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            due: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>, stuck: bool) -> Poll<wasmtime::Result<()>> {
        self.note(stuck);
        let settings = self.shared.settings();
        let (phase, since) = *self
            .pulse
            .phase
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let late = match self.inbox.retired() {
            Some((Retirement::Deadline, since)) => Some(since),
            _ => None,
        };
        let limit = match (late, phase, self.stuck) {
            (Some(late), _, Some(stuck)) => Some((late.max(stuck), STUCK_GRACE)),
            (Some(late), _, None) => Some((late, settings.grace)),
            // What it computes for may have been dropped before its deadline, with its client. Inside of
            // the event loop that cannot be seen.
            (None, Phase::Requests, Some(stuck)) => self
                .last_answer_sent(since.max(stuck))
                .map(|since| (since, settings.post_return_timeout)),
            (None, Phase::Requests, None) => None,
            (None, Phase::PostReturn, _) => self
                .last_answer_sent(since)
                .map(|since| (since, settings.post_return_timeout)),
            (None, Phase::Idle, _) => Some((since, settings.idle_timeout)),
        };
        let Some(due) = limit.and_then(|(since, allowed)| since.checked_add(allowed)) else {
            return Poll::Pending;
        };
        if self.due != Some(due) {
            self.due = Some(due);
            self.timer.as_mut().reset(due.into());
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        match phase {
            _ if late.is_some() && self.stuck.is_some() => Poll::Ready(Err(Overdue::Stuck.into())),
            _ if late.is_some() => Poll::Ready(Err(Overdue::Late.into())),
            Phase::Requests => Poll::Ready(Err(Overdue::Abandoned.into())),
            Phase::PostReturn => Poll::Ready(Err(Overdue::PostReturn.into())),
            Phase::Idle => {
                // If the pool keeps it, the idle time begins anew.
                self.due = None;
                *self
                    .pulse
                    .phase
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner) = (Phase::Idle, Instant::now());
                self.shared.idle_expired(self.key);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Since when all that the guest does is work after its answers: none while an answer is being
    /// sent, for then the work is to send it.
    fn last_answer_sent(&mut self, returned: Instant) -> Option<Instant> {
        // Before the look, so that who leaves right after it is not missed.
        self.inbox.watch_leaving(true);
        if self.shared.in_flight(self.key) > 0 {
            self.sent = None;
            return None;
        }
        self.inbox.watch_leaving(false);
        let sent = *self.sent.get_or_insert_with(Instant::now);
        Some(sent.max(returned))
    }

    /// A guest that computes takes no further request; those that it was given go elsewhere.
    fn note(&mut self, stuck: bool) {
        match (stuck, self.stuck) {
            (true, None) => {
                self.stuck = Some(Instant::now());
                // Computing says nothing of how many requests the guest takes at once.
                self.shared.backpressure(self.key, true, usize::MAX);
            }
            (false, Some(_)) => {
                self.stuck = None;
                let held = self.pulse.held.load(Ordering::Relaxed);
                let running = self.pulse.running.load(Ordering::Relaxed);
                self.shared.backpressure(self.key, held, running);
            }
            _ => {}
        }
        if stuck {
            self.shared.give_back(self.inbox);
        }
    }
}
