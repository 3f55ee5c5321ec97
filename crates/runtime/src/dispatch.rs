//! How requests are given to instances: the stock `ProxyHandler` of wasmtime-wasi-http, told what
//! it needs to know.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use headwater_core::RequestScope;
use tokio::sync::watch;
use tokio::time::Sleep;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut, UpdateDeadline};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{
    HandlerState, Instance, ProxyPre, ShouldAccept, WorkerExpiration, WorkerState, WorkerStatus,
};

use crate::attribution::Roots;
use crate::hooks::Hooks;
use crate::memory::MemoryBudget;
use crate::service::{Blueprint, Reuse};
use crate::state::State;

/// How long the other requests of an instance may go on after one missed its deadline.
const GRACE: Duration = Duration::from_secs(1);

/// Makes the instances of one service.
pub(crate) struct Instances {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) blueprint: Blueprint,
    pub(crate) next_number: AtomicU64,
    pub(crate) busy: Busy,
}

/// How many instances of a service have something to do: requests, or work after the response.
#[derive(Clone)]
pub(crate) struct Busy(watch::Sender<usize>);

/// Counts one instance as busy for as long as it is held.
struct BusyInstance(Busy);

impl Busy {
    pub(crate) fn new() -> Self {
        Self(watch::channel(0).0)
    }

    /// Waits until no instance has anything to do.
    pub(crate) async fn none(&self) {
        let mut count = self.0.subscribe();
        // Fails only once the sender is gone, and `self` holds it.
        let _ = count.wait_for(|count| *count == 0).await;
    }

    fn enter(&self) -> BusyInstance {
        self.0.send_modify(|count| *count += 1);
        BusyInstance(self.clone())
    }
}

impl Drop for BusyInstance {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| *count -= 1);
    }
}

/// What travels with a request into the instance that takes it.
pub(crate) struct Ticket {
    pub(crate) scope: Arc<RequestScope>,
    /// Set once an instance has taken the request.
    pub(crate) instance: Arc<OnceLock<Arc<InstanceRecord>>>,
}

/// What is known of one instance outside of it.
pub(crate) struct InstanceRecord {
    pub(crate) number: u64,
    ended: watch::Sender<Option<Ended>>,
}

/// How an instance ended: with the cause, if it failed.
pub(crate) type Ended = Result<(), Arc<str>>;

impl InstanceRecord {
    /// Waits until the instance is gone and says how it ended.
    pub(crate) async fn ended(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ended)) => ended.clone(),
            // The sender is `self`, which is alive, and `wait_for` waited for `Some`.
            Ok(None) | Err(_) => Ok(()),
        }
    }

    /// Whether the instance is gone because it failed.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(*self.ended.borrow(), Some(Err(_)))
    }
}

impl HandlerState for Instances {
    type StoreData = State;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<State, Expiration, Worker>> {
        let blueprint = &self.blueprint;
        let mut store = blueprint.store()?;
        let proxy = self.pre.instantiate_async(&mut store).await?;
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(service = %blueprint.service, instance = number, "instance started");
        let (ended, _) = watch::channel(None);
        Ok(Instance {
            store,
            proxy,
            view: State::http,
            expiration: Expiration::new(
                blueprint.request_timeout,
                &blueprint.reuse,
                self.busy.clone(),
            ),
            state: Worker {
                service: blueprint.service.clone(),
                reuse: blueprint.reuse.clone(),
                record: Arc::new(InstanceRecord { number, ended }),
            },
        })
    }
}

/// The life of one instance, as far as dispatch asks about it.
pub(crate) struct Worker {
    service: Arc<str>,
    reuse: Reuse,
    record: Arc<InstanceRecord>,
}

impl WorkerState for Worker {
    type StoreData = State;
    type RequestData = Ticket;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.reuse.max_requests_per_instance {
            ShouldAccept::Never
        } else if concurrent >= self.reuse.max_concurrent_per_instance {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        mut store: StoreContextMut<'_, State>,
        ticket: Ticket,
        task: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        // Each ticket is started once.
        let _ = ticket.instance.set(self.record.clone());
        let deadline = ticket.scope.deadline();
        store.data_mut().roots.start(task, ticket.scope);
        Box::pin(async move {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        })
    }

    fn drop(&self, store: Store<State>, result: Result<(), wasmtime::Error>) {
        let number = self.record.number;
        let ended = match result {
            Ok(()) => {
                tracing::debug!(service = %self.service, instance = number, "instance ended");
                Ok(())
            }
            Err(error) => {
                let mut cause = one_line(&error);
                if store.data().memory.refused() {
                    cause.push_str("; it had been refused memory before: --memory gives it more");
                }
                let cause: Arc<str> = cause.into();
                tracing::debug!(service = %self.service, instance = number, %cause, "instance failed");
                Err(cause)
            }
        };
        // Before the store goes: dropping it ends the bodies that the guest was writing, and a
        // reader must be able to tell that end from a proper one.
        self.record.ended.send_replace(Some(ended));
        drop(store);
    }
}

/// The whole of an error on one line, what is at its root first. wasmtime puts a trap's backtrace
/// before the trap, over many lines.
#[must_use]
pub fn one_line(error: &wasmtime::Error) -> String {
    let mut causes: Vec<String> = error
        .chain()
        .map(|cause| {
            cause
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
        })
        .collect();
    causes.reverse();
    causes.join("; ")
}

/// Ends an instance that is idle for too long, or that holds up its event loop so that the deadline
/// of a request could not take effect within it.
pub(crate) struct Expiration {
    requests: Duration,
    post_return: Duration,
    idle: Duration,
    due: Option<Instant>,
    timer: Pin<Box<Sleep>>,
    busy: Busy,
    /// Held unless the instance is idle.
    at_work: Option<BusyInstance>,
}

impl Expiration {
    fn new(request_timeout: Duration, reuse: &Reuse, busy: Busy) -> Self {
        Self {
            requests: request_timeout.saturating_add(GRACE),
            post_return: reuse.post_return_timeout,
            idle: reuse.idle_timeout,
            due: None,
            // Instances are made for a request.
            at_work: Some(busy.enter()),
            busy,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }
}

impl WorkerExpiration for Expiration {
    fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        status: WorkerStatus,
        start: Instant,
    ) -> Poll<()> {
        match status {
            WorkerStatus::Idle => self.at_work = None,
            WorkerStatus::Requests | WorkerStatus::PostReturn if self.at_work.is_none() => {
                self.at_work = Some(self.busy.enter());
            }
            WorkerStatus::Requests | WorkerStatus::PostReturn => {}
        }
        let allowed = match status {
            WorkerStatus::Requests => self.requests,
            WorkerStatus::PostReturn => self.post_return,
            WorkerStatus::Idle => self.idle,
        };
        let Some(due) = start.checked_add(allowed) else {
            // Later than time goes.
            return Poll::Pending;
        };
        if self.due != Some(due) {
            self.due = Some(due);
            self.timer.as_mut().reset(due.into());
        }
        self.timer.as_mut().poll(cx)
    }
}

impl Blueprint {
    /// A store for one new instance.
    fn store(&self) -> wasmtime::Result<Store<State>> {
        let state = State {
            table: wasmtime::component::ResourceTable::new(),
            wasi: self.wasi()?,
            http: wasmtime_wasi_http::WasiHttpCtx::new(),
            hooks: Hooks::new(self.egress.clone()),
            memory: MemoryBudget::new(self.guest_memory),
            roots: Roots::new(self.evidence),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        // A guest that computes yields its thread at each tick of the epoch.
        store.set_epoch_deadline(1);
        // tokio's own yield and not the engine's: after it, sockets, timers and other tasks get their
        // turn first.
        store.epoch_deadline_callback(|_| {
            Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            ))
        });
        Ok(store)
    }
}
