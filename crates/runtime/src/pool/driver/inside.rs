//! What happens within an instance's event loop.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;

use futures::stream::{FuturesUnordered, StreamExt};
use wasmtime::AsContextMut;
use wasmtime::component::Accessor;
use wasmtime_wasi_http::handler::Proxy;

use crate::attribution::{self, ledger::Health};
use crate::pool::call::{Call, entrance};
use crate::pool::core::InstanceKey;
use crate::pool::driver::{Phase, Pulse};
use crate::pool::inbox::Inbox;
use crate::pool::meter::Meter;
use crate::pool::shared::Shared;
use crate::pool::ticket::InstanceRecord;
use crate::state::State;

/// What happens within the event loop.
pub(super) struct Inside<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) key: InstanceKey,
    pub(super) inbox: &'a Inbox,
    pub(super) record: &'a Arc<InstanceRecord>,
    pub(super) pulse: &'a Pulse,
    pub(super) meter: &'a Meter,
    pub(super) proxy: &'a Proxy,
    pub(super) accessor: &'a Accessor<State>,
}

impl<'a> Inside<'a> {
    pub(super) async fn run(self) -> wasmtime::Result<()> {
        // Calls that nobody waits for any more, of those below.
        let abandoned = AtomicUsize::new(0);
        let abandoned = &abandoned;
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
                let waited_for = calls.len() - abandoned.load(Ordering::Relaxed);
                self.pulse.running.store(waited_for, Ordering::Relaxed);
                let backpressure = self
                    .accessor
                    .poll_ready_for_concurrent_call(entrance, cx)
                    .is_pending();
                let held = backpressure || (waited_for == 0 && self.has_leftovers(cx));
                if held != self.pulse.held.swap(held, Ordering::Relaxed) {
                    self.shared.lives.hold(self.key, held, Instant::now());
                    self.shared.backpressure(self.key, held, waited_for);
                }
                if held {
                    self.shared.give_back(self.inbox);
                } else if !(self.is_one_at_a_time() && waited_for > 0)
                    && self.pulse.calm.load(Ordering::Relaxed)
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
                    self.record.outgoing.note_hops(ticket.scope.hops());
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
                        Ok(call) => calls.push(call.run(self.accessor, abandoned)),
                        Err(error) => return Poll::Ready(Err(error)),
                    }
                    self.enter(Phase::Requests);
                    continue;
                }
                if waited_for > 0 {
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

    /// Whether the instance is of 0.2. A request has its answer, and its place is free, before its
    /// call is over; the next waits for that all the same, because calls that the guest makes are
    /// attributed to the one request that it has.
    fn is_one_at_a_time(&self) -> bool {
        matches!(self.proxy, Proxy::P2(_))
    }

    /// Whether a 0.2 guest still works for a request that nobody waits for any more. It is not given
    /// the next before that, because its calls are attributed to the one request that it has.
    fn has_leftovers(&self, cx: &mut Context<'_>) -> bool {
        self.is_one_at_a_time() && self.accessor.poll_no_interesting_tasks(cx).is_pending()
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
