//! The part of the driver that runs within an instance's event loop.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use wasmtime::AsContextMut;
use wasmtime::component::Accessor;

use crate::attribution::{self, Health, Turn};
use crate::guest_state::GuestState;
use crate::meter::Meter;
use crate::pool::call::Call;
use crate::pool::driver::calls::{Calls, Woken};
use crate::pool::driver::state::{DriverState, Phase};
use crate::pool::guest::Guest;
use crate::pool::inbox::Inbox;
use crate::pool::instance_stats::Hold;
use crate::pool::queued_request::InstanceRecord;
use crate::pool::scheduler::InstanceKey;
use crate::pool::shared::Shared;

pub(super) struct EventLoop<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) key: InstanceKey,
    pub(super) inbox: &'a Inbox,
    pub(super) record: &'a Arc<InstanceRecord>,
    pub(super) state: &'a DriverState,
    pub(super) meter: &'a Meter,
    pub(super) turn: &'a Turn,
    pub(super) woken: &'a Arc<Woken>,
    pub(super) guest: &'a Guest,
    pub(super) accessor: &'a Accessor<GuestState>,
}

impl<'a> EventLoop<'a> {
    pub(super) async fn run(self) -> wasmtime::Result<()> {
        // The number of calls below whose requests were dropped.
        let abandoned = AtomicUsize::new(0);
        let abandoned = &abandoned;
        let mut calls = Calls::new(self.woken.clone());
        let entrance = self.guest.entrance();
        let composed = self.shared.stores.evidence.has_checkpoints();
        poll_fn(|cx| {
            // First of all, as this runs between two work items of the event loop.
            if composed {
                self.checkpoint();
            }
            self.state.beat();
            self.meter.between();
            // Polled before each work item: the guest's activity in the previous one is over.
            self.turn.next();
            loop {
                while let Some(returned) = calls.poll() {
                    let returned: wasmtime::Result<()> = returned;
                    if let Err(error) = returned {
                        return Poll::Ready(Err(error));
                    }
                }
                let waited_for = calls.len() - abandoned.load(Ordering::Relaxed);
                self.state.set_running(waited_for);
                let backpressure = self
                    .accessor
                    .poll_ready_for_concurrent_call(entrance, cx)
                    .is_pending();
                let hold = if backpressure {
                    Some(Hold::Backpressure)
                } else if waited_for == 0 && self.has_work_left(cx) {
                    Some(Hold::WorkLeft)
                } else {
                    None
                };
                let before = self.state.hold();
                if hold != before {
                    self.state.set_hold(hold);
                    self.shared.stats.hold(self.key, hold, Instant::now());
                }
                if hold.is_some() != before.is_some() {
                    self.shared
                        .backpressure(self.key, hold.is_some(), waited_for);
                }
                if hold.is_some() {
                    self.shared.give_back(self.inbox);
                } else if !(self.is_serial() && waited_for > 0)
                    && self.state.is_calm()
                    && let Some(request) = self.inbox.pop()
                {
                    if request.answer.is_closed() {
                        continue;
                    }
                    // One at a time: only when this one has run as far as it can is it clear if the
                    // guest takes another.
                    self.state.stir();
                    let _ = request.instance.set(self.record.clone());
                    request.scope.set_instance(self.key.0);
                    self.meter.enter(request.scope.clone());
                    self.record.outgoing.note_hops(request.scope.hops());
                    let call = self.accessor.with(|mut access| {
                        Call::start(
                            access.as_context_mut(),
                            self.guest,
                            self.record,
                            request.request,
                            request.scope,
                            request.answer,
                        )
                    });
                    match call {
                        Ok(call) => {
                            calls.push(call.run(self.accessor, &self.record.gate, abandoned))
                        }
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

    /// Lets the ledger of a composed component's tasks find the tasks that are gone.
    fn checkpoint(&self) {
        let health = self
            .accessor
            .with(|mut access| attribution::checkpoint(access.as_context_mut()));
        if health == Health::Outgrown {
            self.shared
                .happened(|core, actions| core.outgrown(self.key, actions));
        }
    }

    /// Returns true if calls of the guest are attributed to its only request. A request has its
    /// answer, and its place is free, before its call is over; the next request waits for the call.
    fn is_serial(&self) -> bool {
        self.shared.settings.serial
    }

    /// Returns true if a guest that is used serially still works for a request that was answered or
    /// dropped.
    fn has_work_left(&self, cx: &mut Context<'_>) -> bool {
        self.is_serial() && self.accessor.poll_no_interesting_tasks(cx).is_pending()
    }

    fn enter(&self, phase: Phase) {
        if self.state.enter(phase) {
            self.inbox.set_at_work(phase != Phase::Idle);
            if phase == Phase::Idle {
                self.shared.at_rest();
            }
        }
    }
}
