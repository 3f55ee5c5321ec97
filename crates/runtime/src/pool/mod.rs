//! The instance pool: bounded, fair, faithful to backpressure.
//!
//! [`core`] decides, and is pure; [`driver`] is the life of one instance; this file is the thin shell
//! around them: a lock, and the carrying out of decisions.

mod call;
mod circuit;
mod core;
mod counters;
mod driver;
mod inbox;
mod lives;
mod meter;
mod retry;
mod settings;
mod ticket;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use headwater_core::{Fault, RequestScope};
use headwater_telemetry::Metrics;
use http::{Request, Response};
use tokio::sync::{oneshot, watch};
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyPre;

use self::circuit::Circuit;
use self::core::{Action, InstanceKey, PoolCore, Refusal, RequestKey, Retirement};
use self::counters::{Count, Counters};
use self::inbox::Inbox;
use self::lives::Lives;
use self::ticket::Ticket;
use crate::blueprint::Blueprint;
use crate::neighbours::{Neighbour, Neighbours};
use crate::one_line::one_line;
use crate::response;
use crate::state::State;

pub(crate) use self::call::NoResponse;
pub use self::circuit::CircuitState;
pub use self::core::PoolView;
pub use self::counters::PoolTotals;
pub(crate) use self::driver::SlowStart;
pub use self::lives::{InstanceState, InstanceView};
pub(crate) use self::meter::Meter;
pub use self::settings::{PoolOverrides, PoolSettings};
pub(crate) use self::ticket::InstanceRecord;

/// When a client that met a full queue may come back. Requests are short; a second is long for them.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The pool of one service.
#[derive(Clone)]
pub(crate) struct InstancePool(Arc<Shared>);

/// What the pool and its instances share.
pub(crate) struct Shared {
    pub(crate) pre: ProxyPre<State>,
    pub(crate) blueprint: Blueprint,
    settings: PoolSettings,
    neighbours: Arc<Neighbours>,
    state: Mutex<Shell>,
    counters: Counters,
    lives: Lives,
    /// The circuit has counted a failure since the last success.
    troubled: AtomicBool,
    /// Requests and instances that have something to do; kept only while somebody waits for none.
    busy: watch::Sender<usize>,
}

/// The core, and what its names stand for.
struct Shell {
    core: PoolCore,
    circuit: Circuit,
    next_request: u64,
    /// Requests that the core has in its queue, or has just assigned.
    waiting: HashMap<RequestKey, Ticket>,
    inboxes: HashMap<InstanceKey, Arc<Inbox>>,
    /// Kept for its room.
    actions: Vec<Action>,
}

impl InstancePool {
    pub(crate) fn new(
        pre: ProxyPre<State>,
        blueprint: Blueprint,
        settings: PoolSettings,
        neighbours: &Arc<Neighbours>,
        metrics: Metrics,
        seed: u64,
    ) -> Self {
        let shared = Arc::new(Shared {
            counters: Counters::new(metrics, blueprint.service.clone()),
            lives: Lives::default(),
            pre,
            blueprint,
            state: Mutex::new(Shell {
                core: PoolCore::new(settings.clone(), settings.spread, seed),
                circuit: Circuit::new(),
                next_request: 0,
                waiting: HashMap::new(),
                inboxes: HashMap::new(),
                actions: Vec::new(),
            }),
            troubled: AtomicBool::new(false),
            settings,
            neighbours: neighbours.clone(),
            busy: watch::channel(0).0,
        });
        let neighbour: Arc<dyn Neighbour> = shared.clone();
        neighbours.join(Arc::downgrade(&neighbour));
        Self(shared)
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.0.settings
    }

    pub(crate) fn view(&self) -> PoolView {
        self.0.lock().core.view()
    }

    pub(crate) fn circuit(&self) -> CircuitState {
        self.0.lock().circuit.state()
    }

    pub(crate) fn totals(&self) -> PoolTotals {
        PoolTotals {
            backpressure: self.0.lives.held(Instant::now()),
            ..self.0.counters.totals()
        }
    }

    pub(crate) fn instances(&self) -> Vec<InstanceView> {
        let now = Instant::now();
        let age = |key| self.0.lives.age(key, now);
        self.0.lock().core.instances(age)
    }

    /// Waits until no instance has anything to do.
    pub(crate) async fn idle(&self) {
        let mut busy = self.0.busy.subscribe();
        self.0.tell_busy(&self.0.lock());
        // Fails only once the sender is gone, and `self` holds it.
        let _ = busy.wait_for(|busy| *busy == 0).await;
    }

    /// Has an instance answer a request; if that fails and the settings say so, one more.
    pub(crate) async fn answer(
        &self,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
    ) -> Result<Response<headwater_core::Body>, Fault> {
        let copy = self.0.copy_for_retry(&request);
        let answer = self.attempt(request, scope.clone()).await;
        let failed = match &answer {
            Err(NoAnswer::InstanceFailed(instance, _)) => Some(instance.clone()),
            _ => None,
        };
        if let (Some(instance), Some(copy)) = (failed, copy)
            && retry::is_invisible(&scope, &instance).await
        {
            self.0.counters.count(Count::Retried);
            tracing::debug!(
                service = %self.0.service(),
                request_id = %scope.id(),
                instance = instance.key.0,
                "the instance failed; the request is tried once more in another"
            );
            let again = self.attempt(copy.map(|()| response::empty()), scope).await;
            return again.map_err(NoAnswer::into_fault);
        }
        answer.map_err(NoAnswer::into_fault)
    }

    /// Has an instance answer a request.
    async fn attempt(
        &self,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
    ) -> Result<Response<headwater_core::Body>, NoAnswer> {
        let (sender, answer) = oneshot::channel();
        let instance = Arc::new(OnceLock::new());
        let admitted = self
            .0
            .arrive(request, scope.clone(), sender, instance.clone())?;
        let slot = Slot {
            shared: self.0.clone(),
            key: admitted.key,
            scope,
            answered: false,
        };
        let answer = if admitted.queued {
            match self.0.wait(admitted.key, answer).await {
                Some(answer) => answer,
                None => {
                    self.0.counters.count(Count::QueueTimeout);
                    return Err(Fault::overload("queue_timeout", RETRY_AFTER).into());
                }
            }
        } else {
            answer.await
        };
        match answer {
            Ok(Ok(answer)) => {
                self.0.succeeded();
                let slot = slot.answered();
                let record = instance.get().cloned();
                Ok(answer.map(|body| response::from_wasi(body, record, slot)))
            }
            Ok(Err(error)) => Err(response::fault(error).into()),
            Err(_dropped) => Err(match instance.get() {
                Some(record) => {
                    let fault = response::lost(record, slot.scope.id()).await;
                    NoAnswer::InstanceFailed(record.clone(), fault)
                }
                None => self.0.refusal().into(),
            }),
        }
    }
}

/// Why a request got no answer.
enum NoAnswer {
    /// Its instance failed while the request was in it.
    InstanceFailed(Arc<InstanceRecord>, Fault),
    Other(Fault),
}

impl NoAnswer {
    fn into_fault(self) -> Fault {
        match self {
            Self::InstanceFailed(_, fault) | Self::Other(fault) => fault,
        }
    }
}

impl From<Fault> for NoAnswer {
    fn from(fault: Fault) -> Self {
        Self::Other(fault)
    }
}

/// What became of a request on arrival.
struct Admitted {
    key: RequestKey,
    queued: bool,
}

/// A request's place in the pool, until the last byte of its answer.
pub(crate) struct Slot {
    shared: Arc<Shared>,
    key: RequestKey,
    scope: Arc<RequestScope>,
    answered: bool,
}

impl Slot {
    fn answered(mut self) -> Self {
        self.answered = true;
        self
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let missed = !self.answered
            && self
                .scope
                .deadline()
                .is_some_and(|deadline| deadline <= Instant::now());
        self.shared.leave(self.key, missed);
    }
}

impl Shared {
    pub(crate) fn service(&self) -> &Arc<str> {
        &self.blueprint.service
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// A copy of the request, if it may be tried again and can be: its body would be gone.
    fn copy_for_retry(&self, request: &Request<WasiBody>) -> Option<Request<()>> {
        let may = self.settings.retry && self.blueprint.directories.is_empty();
        may.then(|| retry::copy(request)).flatten()
    }

    fn arrive(
        self: &Arc<Self>,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
        answer: oneshot::Sender<ticket::Answer>,
        instance: Arc<OnceLock<Arc<InstanceRecord>>>,
    ) -> Result<Admitted, Fault> {
        let mut shell = self.lock();
        if let Err(pause) = shell.circuit.admit(Instant::now()) {
            drop(shell);
            self.counters.count(Count::CircuitOpen);
            return Err(Fault::overload("circuit_open", pause)
                .caused_by("the service kept failing, and is given a pause"));
        }
        let key = RequestKey(shell.next_request);
        shell.next_request += 1;
        let ticket = Ticket {
            key,
            request,
            scope,
            answer,
            instance,
            since: Instant::now(),
        };
        shell.waiting.insert(key, ticket);
        self.change(&mut shell, |core, actions| core.arrive(key, actions));
        Ok(Admitted {
            key,
            queued: shell.waiting.contains_key(&key),
        })
    }

    /// The answer of a request that waits for an instance; none if it waited for too long.
    async fn wait(
        &self,
        key: RequestKey,
        mut answer: oneshot::Receiver<ticket::Answer>,
    ) -> Option<Result<ticket::Answer, oneshot::error::RecvError>> {
        tokio::select! {
            biased;
            answer = &mut answer => return Some(answer),
            () = tokio::time::sleep(self.settings.queue_timeout) => {}
        }
        if self.lock().waiting.contains_key(&key) {
            return None;
        }
        Some(answer.await)
    }

    /// A request that was dropped before any instance took it: the queue was full, or the circuit
    /// opened while it waited.
    fn refusal(&self) -> Fault {
        let open = self.lock().circuit.state() != CircuitState::Closed;
        let (kind, count) = if open {
            ("circuit_open", Count::CircuitOpen)
        } else {
            ("queue_full", Count::QueueFull)
        };
        self.counters.count(count);
        Fault::overload(kind, RETRY_AFTER)
    }

    /// Answers all that wait, because nothing is to serve them for now.
    fn refuse_queue(&self, shell: &mut Shell) {
        tracing::warn!(
            service = %self.service(),
            "the service keeps failing: requests are refused for a while, and then one is tried"
        );
        for request in shell.core.empty_queue() {
            // The other end sees its ticket dropped.
            drop(shell.waiting.remove(&request));
        }
    }

    /// A request was answered by its guest. Costs nothing while nothing fails.
    fn succeeded(&self) {
        if self.troubled.swap(false, Ordering::Relaxed) {
            self.lock().circuit.succeeded();
        }
    }

    /// An instance ended by its own fault.
    pub(crate) fn failed(&self) {
        self.counters.count(Count::Failed);
        let mut shell = self.lock();
        self.troubled.store(true, Ordering::Relaxed);
        if shell.circuit.failed(Instant::now(), chance()) {
            self.refuse_queue(&mut shell);
        }
    }

    fn leave(self: &Arc<Self>, key: RequestKey, missed_deadline: bool) {
        let mut shell = self.lock();
        drop(shell.waiting.remove(&key));
        let at = shell.core.place_of(key);
        self.change(&mut shell, |core, actions| {
            core.abandon(key, actions);
            if missed_deadline && let Some(at) = at {
                core.deadline_missed(at, actions);
            }
        });
        if let Some(inbox) = at.and_then(|at| shell.inboxes.get(&at)) {
            inbox.left();
        }
        self.tell_busy(&shell);
    }

    pub(crate) fn in_flight(&self, key: InstanceKey) -> usize {
        self.lock().core.in_flight(key)
    }

    pub(crate) fn started(self: &Arc<Self>, key: InstanceKey) {
        self.counters.count(Count::Started);
        self.change(&mut self.lock(), |core, actions| core.started(key, actions));
    }

    pub(crate) fn start_failed(self: &Arc<Self>, key: InstanceKey, error: &wasmtime::Error) {
        let cause = one_line(error);
        let mut shell = self.lock();
        self.counters.count(Count::StartFailed);
        let mut failed = None;
        self.change(&mut shell, |core, actions| {
            failed = core.start_failed(key, actions);
        });
        self.troubled.store(true, Ordering::Relaxed);
        if shell.circuit.start_failed(Instant::now(), chance()) {
            self.refuse_queue(&mut shell);
        }
        shell.inboxes.remove(&key);
        let failed = failed.and_then(|request| shell.waiting.remove(&request));
        drop(shell);
        tracing::debug!(service = %self.service(), instance = key.0, %cause, "instance not started");
        if let Some(ticket) = failed {
            let _ = ticket.answer.send(Err(if error.is::<SlowStart>() {
                SlowStart.into()
            } else {
                wasmtime::Error::msg(format!("the component cannot be instantiated: {cause}"))
            }));
        }
    }

    pub(crate) fn backpressure(self: &Arc<Self>, key: InstanceKey, held: bool, running: usize) {
        self.change(&mut self.lock(), |core, actions| {
            core.backpressure(key, held, running, actions);
        });
    }

    pub(crate) fn at_work(&self, key: InstanceKey, at_work: bool) {
        let mut shell = self.lock();
        shell.core.at_work(key, at_work);
        self.tell_busy(&shell);
    }

    pub(crate) fn idle_expired(self: &Arc<Self>, key: InstanceKey) {
        self.change(&mut self.lock(), |core, actions| {
            core.idle_expired(key, actions);
        });
    }

    /// An instance keeps more tasks than the ledger of a composed component holds.
    pub(crate) fn outgrown(self: &Arc<Self>, key: InstanceKey) {
        self.change(&mut self.lock(), |core, actions| {
            core.outgrown(key, actions);
        });
    }

    /// Takes back what an instance was given and has not started.
    pub(crate) fn give_back(self: &Arc<Self>, inbox: &Inbox) {
        let tickets = inbox.take_back();
        if tickets.is_empty() {
            return;
        }
        let mut shell = self.lock();
        for ticket in tickets {
            let key = ticket.key;
            // Its client may have left while it was in the inbox.
            if shell.core.place_of(key).is_none() {
                continue;
            }
            shell.waiting.insert(key, ticket);
            self.change(&mut shell, |core, actions| core.give_back(key, actions));
        }
    }

    /// An instance is gone; what it had not started goes elsewhere.
    pub(crate) fn ended(self: &Arc<Self>, key: InstanceKey, inbox: &Inbox) {
        {
            // From here on the core gives it nothing, so what is in the inbox is all there is.
            let mut shell = self.lock();
            shell.inboxes.remove(&key);
            shell.core.close(key);
        }
        self.give_back(inbox);
        let mut shell = self.lock();
        self.change(&mut shell, |core, actions| core.ended(key, actions));
        self.lives.end(key, Instant::now());
        self.tell_busy(&shell);
    }

    /// Tells who waits for the pool to be idle, if anybody does: counting takes a while.
    fn tell_busy(&self, shell: &Shell) {
        if self.busy.receiver_count() > 0 {
            self.busy.send_replace(shell.core.busy());
        }
    }

    pub(crate) fn anyone_waits(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Lets the core decide, and carries its decisions out.
    fn change(
        self: &Arc<Self>,
        shell: &mut Shell,
        decide: impl FnOnce(&mut PoolCore, &mut Vec<Action>),
    ) {
        let mut actions = std::mem::take(&mut shell.actions);
        decide(&mut shell.core, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Assign(request, instance) => {
                    let ticket = shell.waiting.remove(&request);
                    if let (Some(ticket), Some(inbox)) = (ticket, shell.inboxes.get(&instance)) {
                        self.count_wait(&ticket);
                        inbox.push(ticket);
                    }
                }
                Action::Start(instance) => {
                    let inbox = Arc::new(Inbox::default());
                    shell.inboxes.insert(instance, inbox.clone());
                    self.lives.begin(instance, Instant::now());
                    tokio::spawn(driver::drive(self.clone(), instance, inbox));
                }
                Action::Refuse(request, Refusal::QueueFull) => {
                    // Its answer's other end sees the ticket dropped.
                    drop(shell.waiting.remove(&request));
                }
                Action::Retire(instance, why) => self.retire(shell, instance, why),
            }
        }
        shell.actions = actions;
    }

    fn count_wait(&self, ticket: &Ticket) {
        let wait = ticket.since.elapsed();
        // Less is the time that it takes to get here.
        if wait >= Duration::from_millis(1) {
            self.counters.count(Count::Waited(wait));
        }
    }

    fn retire(&self, shell: &Shell, instance: InstanceKey, why: Retirement) {
        tracing::debug!(
            service = %self.service(),
            instance = instance.0,
            cause = why.as_str(),
            "instance retired"
        );
        self.counters.count(Count::Retired(why));
        if let Some(inbox) = shell.inboxes.get(&instance) {
            inbox.retire(why);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Shell> {
        // The core does not panic on any order of events, and says so in its tests.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Neighbour for Shared {
    fn idle_instances(&self) -> usize {
        self.lock().core.view().idle
    }

    fn evict(self: Arc<Self>) -> bool {
        let mut evicted = false;
        self.change(&mut self.lock(), |core, actions| {
            evicted = core.evict(actions);
        });
        evicted
    }
}

/// A number from 0 to 1 that nobody can plan with.
fn chance() -> f64 {
    let random = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0_u8);
    // The upper half, which a double holds exactly.
    f64::from((random >> 32) as u32) / f64::from(u32::MAX)
}
