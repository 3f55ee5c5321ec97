//! The life of one instance: start, event loop, end.

mod calls;
mod inside;
mod outside;
mod pulse;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use wasmtime::{PoolConcurrencyLimitError, Store};
use wasmtime_wasi_http::handler::Proxy;

use self::calls::Woken;
use self::inside::Inside;
use self::outside::Outside;
use self::pulse::Pulse;
use crate::memory::MORE_MEMORY;
use crate::one_line::one_line;
use crate::places::{InstancePlaces, NoPlace};
use crate::pool::core::InstanceKey;
use crate::pool::inbox::Inbox;
use crate::pool::meter::CpuTimeExceeded;
use crate::pool::shared::Shared;
use crate::pool::ticket::{Failure, InstanceRecord};
use crate::state::State;
use crate::threads::InstanceThread;

/// How long a start waits for its next try that had places, and found none of the engine's slots free.
const RETRY_START: Duration = Duration::from_millis(5);

/// Why an instance was ended from outside.
#[derive(Debug, thiserror::Error)]
pub(super) enum Overdue {
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
pub(crate) async fn drive(
    shared: Arc<Shared>,
    key: InstanceKey,
    inbox: Arc<Inbox>,
    thread: InstanceThread,
) {
    // Whatever becomes of this future, the pool hears that the instance is gone.
    let presence = Presence { shared, key, inbox };
    let shared = &presence.shared;
    let (mut store, proxy, places) = match start(shared, key, &thread).await {
        Ok(started) => started,
        // Nobody waits any more, and the engine has no room: that is no fault of the service.
        Err(error) if error.is::<NoPlace>() || error.is::<PoolConcurrencyLimitError>() => return,
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
    drop(places);
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

async fn start(
    shared: &Shared,
    key: InstanceKey,
    thread: &InstanceThread,
) -> wasmtime::Result<(Store<State>, Proxy, InstancePlaces)> {
    // A start that waits for a place holds up nobody: requests go to other instances as these come free.
    let places = shared.places.take(|| shared.anyone_waits()).await?;
    loop {
        let mut store = shared.blueprint.store(key.0, thread)?;
        let limit = shared.blueprint.request_timeout;
        let started = tokio::time::timeout(limit, shared.pre.instantiate_async(&mut store));
        let started = started
            .await
            .unwrap_or_else(|_elapsed| Err(SlowStart.into()));
        match started {
            Ok(proxy) => return Ok((store, proxy, places)),
            // What another instance has given back is still being reset.
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
    store: &mut Store<State>,
    proxy: &Proxy,
) -> wasmtime::Result<()> {
    let pulse = &Pulse::new();
    let meter = store.data().meter.clone();
    let meter = &*meter;
    let turn = store.data().roots.turn();
    let turn = &turn;
    let woken = &Arc::new(Woken::default());
    let mut outside = Outside::new(shared, key, inbox, pulse);
    let mut inside = pin!(store.run_concurrent(async |accessor| {
        Inside {
            shared,
            key,
            inbox,
            record,
            pulse,
            meter,
            turn,
            woken,
            proxy,
            accessor,
        }
        .run()
        .await
    }));
    poll_fn(|cx| {
        // Of all that brings the inside on: it is polled whenever this is.
        inbox.register(cx.waker());
        woken.register(cx.waker());
        let now = Instant::now();
        pulse.polled(now);
        meter.begin(now);
        let stuck = loop {
            if let Poll::Ready(result) = inside.as_mut().poll(cx) {
                let _ = meter.end();
                return Poll::Ready(result.flatten());
            }
            // Nothing of the guest can run on now: either all its tasks wait, and it may be given the
            // next request, or one computes and has yielded.
            let stuck = !pulse.take_beat();
            if stuck || !pulse.calm_down() || !inbox.has_tickets() {
                break stuck;
            }
        };
        if let Err(exceeded) = meter.end() {
            return Poll::Ready(Err(exceeded.into()));
        }
        outside.poll(cx, stuck)
    })
    .await
}
