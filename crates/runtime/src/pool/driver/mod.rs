//! The life of one instance: start, event loop, end.

mod calls;
mod event_loop;
mod rest;
mod state;
mod watchdog;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::{PoolConcurrencyLimitError, Store};

use self::calls::Woken;
use self::event_loop::EventLoop;
use self::rest::{Polled, Rest};
use self::state::DriverState;
use self::watchdog::{Overdue, Watchdog};
use crate::attribution;
use crate::guest_state::GuestState;
use crate::limits;
use crate::memory::MORE_MEMORY;
use crate::meter::CpuTimeExceeded;
use crate::one_line::one_line;
use crate::places::{InstancePlaces, NoPlace};
use crate::pool::failure::{Failure, Reason};
use crate::pool::guest::Guest;
use crate::pool::inbox::Inbox;
use crate::pool::no_answer::SlowStart;
use crate::pool::poll_gate::Waiting;
use crate::pool::queued_request::{Ended, InstanceRecord};
use crate::pool::scheduler::InstanceKey;
use crate::pool::shared::Shared;
use crate::threads::InstanceThread;
use crate::waker::RecordingWaker;

/// The delay before a start is retried that had places but found no free slot in the engine.
const RETRY_START: Duration = Duration::from_millis(5);

/// Starts an instance and serves the requests of its inbox until it ends.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    key: InstanceKey,
    inbox: Arc<Inbox>,
    thread: InstanceThread,
) {
    // However this future ends, the pool learns that the instance is gone.
    let presence = Presence { shared, key, inbox };
    let shared = &presence.shared;
    // Dropped after the store.
    let _ended;
    let (mut store, guest, places) = match start(shared, key, &thread).await {
        Ok(started) => started,
        // No request waits any more and the engine has no room: not a fault of the service.
        Err(error) if error.is::<NoPlace>() || error.is::<PoolConcurrencyLimitError>() => return,
        Err(error) => {
            shared.start_failed(key, &error);
            return;
        }
    };
    tracing::debug!(service = %shared.service(), instance = key.0, "instance started");
    shared.started(key);
    let stores = &shared.stores;
    _ended = stores
        .reclaim
        .after(&stores.engine, store.data().memory.usage());

    let record = InstanceRecord::new(key, store.data().hooks.outgoing().clone());
    // Its pending answers fail, too.
    let lifetime = Lifetime(shared, &record);
    let result = serve(shared, key, &presence.inbox, &record, &mut store, &guest).await;
    lifetime.end(match result {
        Ok(()) => {
            tracing::debug!(service = %shared.service(), instance = key.0, "instance ended");
            Ok(())
        }
        Err(error) => {
            let failure = failure(shared, key, &error, &mut store);
            tracing::debug!(
                service = %shared.service(),
                instance = key.0,
                cause = %failure.cause,
                "instance failed"
            );
            shared.failed();
            Err(Arc::new(failure))
        }
    });
    drop(store);
    drop(places);
}

fn failure(
    shared: &Shared,
    key: InstanceKey,
    error: &wasmtime::Error,
    store: &mut Store<GuestState>,
) -> Failure {
    let resources = &mut store.data_mut().table;
    limits::log_failure(&shared.stores.limits, error, resources);
    let mut cause = one_line(error);
    if store.data().memory.refused() {
        cause.push_str("; ");
        cause.push_str(MORE_MEMORY);
    }
    let reason = if let Some(exceeded) = error.downcast_ref::<CpuTimeExceeded>() {
        Reason::CpuTime(exceeded.request)
    } else if error.is::<Overdue>() {
        Reason::Overdue
    } else {
        Reason::Guest(attribution::of_failure(store).map(|scope| scope.id()))
    };
    Failure::new(shared.service().clone(), key, cause, reason)
}

/// Reports the instance as gone when it is dropped.
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

/// An instance that has started. If it is dropped before its end is known, its requests fail.
struct Lifetime<'a>(&'a Shared, &'a InstanceRecord);

impl Lifetime<'_> {
    fn end(self, ended: Ended) {
        self.1.end(ended);
    }
}

impl Drop for Lifetime<'_> {
    fn drop(&mut self) {
        let Self(shared, record) = self;
        // Unknown only if the instance's task was dropped: by a panic, or with its runtime.
        if !record.is_over() {
            let cause = "its task was dropped".to_owned();
            let service = shared.service().clone();
            let failure = Failure::new(service, record.key, cause, Reason::Overdue);
            record.end(Err(Arc::new(failure)));
        }
    }
}

async fn start(
    shared: &Shared,
    key: InstanceKey,
    thread: &InstanceThread,
) -> wasmtime::Result<(Store<GuestState>, Guest, InstancePlaces)> {
    // A start that waits for a place does not delay requests: they go to other instances as these become
    // free.
    let places = shared.places.take(|| shared.anyone_waits()).await?;
    loop {
        let mut store = shared.stores.store(key.0, thread)?;
        let limit = shared.stores.request_timeout;
        let started = tokio::time::timeout(limit, shared.pre.instantiate(&mut store));
        let started = started
            .await
            .unwrap_or_else(|_elapsed| Err(SlowStart.into()));
        match started {
            Ok(guest) => return Ok((store, guest, places)),
            // Memory that another instance gave back is still being reset.
            Err(error) if error.is::<PoolConcurrencyLimitError>() => {
                drop(store);
                if !shared.anyone_waits() {
                    return Err(error);
                }
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
    store: &mut Store<GuestState>,
    guest: &Guest,
) -> wasmtime::Result<()> {
    let state = &DriverState::new();
    let meter = store.data().meter.clone();
    let meter = &*meter;
    let turn = store.data().roots.turn();
    let turn = &turn;
    let instance_waker = Arc::new(RecordingWaker::default());
    // Wakes the task for everything that lets the inside make progress.
    let waker = Waker::from(instance_waker.clone());
    inbox.register(&waker);
    let woken = &Arc::new(Woken::new(waker.clone()));
    let (gate, mut room) = (&record.gate, Waiting::default());
    let mut rest = Rest::default();
    let mut watchdog = Watchdog::new(shared, key, inbox, state);
    let mut event_loop = pin!(store.run_concurrent(async |accessor| {
        EventLoop {
            shared,
            key,
            inbox,
            record,
            state,
            meter,
            turn,
            woken,
            guest,
            accessor,
        }
        .run()
        .await
    }));
    poll_fn(|cx| {
        // Any wake-up polls both this and the inside.
        instance_waker.register(cx.waker());
        let now = Instant::now();
        state.polled(now);
        meter.begin(now);
        let stuck = loop {
            gate.close();
            instance_waker.reset();
            let begun = rest.begin();
            if let Poll::Ready(result) = event_loop.as_mut().poll(&mut Context::from_waker(&waker))
            {
                let _ = meter.end();
                // After a failure the gate opens when the failure is recorded.
                return Poll::Ready(result.flatten().inspect(|()| gate.open(&mut room)));
            }
            let interrupted = meter.take_interrupted();
            let woken = instance_waker.is_woken();
            if rest.has_come(begun, Polled { woken, interrupted }) {
                gate.open(&mut room);
            } else if !interrupted && gate.is_awaited() {
                // Deliver it without waiting for another wake-up.
                continue;
            }
            // No code of the guest can run now: either all its tasks wait, and it may get the next
            // request, or one computes and has yielded.
            let stuck = !state.take_beat();
            if stuck || !state.calm_down() || !inbox.has_tickets() {
                break stuck;
            }
        };
        if let Err(exceeded) = meter.end() {
            return Poll::Ready(Err(exceeded.into()));
        }
        watchdog.poll(cx, stuck)
    })
    .await
}
