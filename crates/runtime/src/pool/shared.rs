//! The lock around the scheduler, and the execution of its decisions.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::{Duration, Instant};

use headwater_core::{Fault, RequestScope};
use headwater_telemetry::Metrics;
use http::Request;
use parking_lot::{Mutex, MutexGuard};
use rustc_hash::FxBuildHasher;
use tokio::sync::{oneshot, watch};
use wasmtime_wasi_http::WasiBody;

use crate::one_line::one_line;
use crate::places::{GivesWay, ServicePlaces};
use crate::pool::circuit::{Circuit, CircuitState};
use crate::pool::counters::{Count, Counters};
use crate::pool::driver;
use crate::pool::guest::GuestPre;
use crate::pool::inbox::Inbox;
use crate::pool::instance_stats::{Held, InstanceStats};
use crate::pool::no_answer::SlowStart;
use crate::pool::queued_request::{InstanceRecord, QueuedRequest};
use crate::pool::retry;
use crate::pool::scheduler::{Action, InstanceKey, RequestKey, Retirement, Scheduler};
use crate::pool::settings::PoolSettings;
use crate::pool::written::Answer;
use crate::store_factory::StoreFactory;
use crate::threads;

/// The `retry-after` of a full queue. Requests are short; a second is long for them.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(crate) struct Shared {
    pub(crate) pre: GuestPre,
    pub(crate) stores: StoreFactory,
    pub(super) settings: PoolSettings,
    pub(super) places: ServicePlaces,
    state: Mutex<Shell>,
    pub(super) counters: Counters,
    pub(super) stats: InstanceStats,
    /// True if the circuit has counted a failure since the last success.
    troubled: AtomicBool,
    /// The number of requests and instances with work. Updated only while a task waits for zero.
    busy: watch::Sender<usize>,
}

/// The scheduler, and the requests and instances behind its keys.
pub(super) struct Shell {
    pub(super) core: Scheduler,
    pub(super) circuit: Circuit,
    next_request: u64,
    /// Requests in the scheduler's queue, or about to be assigned.
    waiting: HashMap<RequestKey, QueuedRequest, FxBuildHasher>,
    inboxes: HashMap<InstanceKey, Arc<Inbox>, FxBuildHasher>,
    /// Kept to reuse its buffer.
    actions: Vec<Action>,
}

pub(super) struct Admitted {
    pub(super) key: RequestKey,
    pub(super) queued: bool,
}

impl Shared {
    pub(super) fn new(
        pre: GuestPre,
        stores: StoreFactory,
        settings: PoolSettings,
        places: ServicePlaces,
        metrics: Metrics,
        seed: u64,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            counters: Counters::new(metrics, stores.service.clone()),
            stats: InstanceStats::default(),
            pre,
            stores,
            state: Mutex::new(Shell {
                core: Scheduler::new(settings.clone(), settings.spread, seed),
                circuit: Circuit::new(),
                next_request: 0,
                waiting: HashMap::default(),
                inboxes: HashMap::default(),
                actions: Vec::new(),
            }),
            troubled: AtomicBool::new(false),
            settings,
            places,
            busy: watch::channel(0).0,
        });
        let pool: Arc<dyn GivesWay> = shared.clone();
        shared.places.set_pool(Arc::downgrade(&pool));
        shared
    }

    pub(crate) fn service(&self) -> &Arc<str> {
        &self.stores.service
    }

    pub(crate) fn settings(&self) -> &PoolSettings {
        &self.settings
    }

    /// Copies the request if it may and can be retried. A body cannot be copied.
    pub(super) fn copy_for_retry(&self, request: &Request<WasiBody>) -> Option<Request<()>> {
        let may = self.settings.retry && self.stores.directories.is_empty();
        may.then(|| retry::copy(request)).flatten()
    }

    pub(super) fn arrive(
        self: &Arc<Self>,
        request: Request<WasiBody>,
        scope: Arc<RequestScope>,
        answer: oneshot::Sender<Answer>,
        instance: Arc<OnceLock<Arc<InstanceRecord>>>,
    ) -> Result<Admitted, Fault> {
        let now = Instant::now();
        let mut shell = self.lock();
        if let Err(pause) = shell.circuit.admit(now) {
            drop(shell);
            self.counters.count(Count::CircuitOpen);
            return Err(Fault::overload("circuit_open", pause)
                .caused_by("the service kept failing, and gets no requests for a while"));
        }
        let key = RequestKey(shell.next_request);
        shell.next_request += 1;
        let request = QueuedRequest {
            key,
            request,
            scope,
            answer,
            instance,
            since: now,
        };
        // Most requests are assigned at once and never wait.
        let mut arriving = Some(request);
        self.change_for(&mut shell, &mut arriving, |core, actions| {
            core.arrive(key, threads::current(), actions);
        });
        let queued = arriving.is_some();
        if let Some(request) = arriving {
            shell.waiting.insert(key, request);
        }
        Ok(Admitted { key, queued })
    }

    /// Returns the answer to a request that waits for an instance, or the reason why it got none.
    pub(super) async fn wait(
        &self,
        key: RequestKey,
        deadline: Option<Instant>,
        mut answer: oneshot::Receiver<Answer>,
    ) -> Result<Result<Answer, oneshot::error::RecvError>, Fault> {
        // At its deadline the server polls the request once more before it drops it: the time to
        // return what it waited for.
        let misses_deadline =
            poll_fn(
                |_| match deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                    true => Poll::Ready(()),
                    false => Poll::Pending,
                },
            );
        let missed_deadline = tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer),
            () = misses_deadline => true,
            () = tokio::time::sleep(self.settings.queue_timeout) => false,
        };
        if !self.lock().waiting.contains_key(&key) {
            return Ok(answer.await);
        }
        Err(self.waited_in_vain(missed_deadline))
    }

    /// Returns the fault for a request that was dropped before any instance took it: the queue was
    /// full, or the circuit opened while it waited.
    pub(super) fn refusal(&self) -> Fault {
        let open = self.lock().circuit.state() != CircuitState::Closed;
        let (kind, count) = if open {
            ("circuit_open", Count::CircuitOpen)
        } else {
            ("queue_full", Count::QueueFull)
        };
        self.counters.count(count);
        Fault::overload(kind, RETRY_AFTER)
    }

    /// Returns the fault for a request that waited too long, with what it waited for.
    fn waited_in_vain(&self, missed_deadline: bool) -> Fault {
        if let Some(missing) = self.places.missing() {
            self.counters.count(Count::InstanceLimit);
            return missing.into_fault();
        }
        let fault = if missed_deadline {
            Fault::deadline()
        } else {
            self.counters.count(Count::QueueTimeout);
            Fault::overload("queue_timeout", RETRY_AFTER)
        };
        let Held {
            alive,
            backpressure,
            work_left,
        } = self.stats.count();
        let PoolSettings {
            max_instances,
            queue_timeout,
            post_return_timeout,
            ..
        } = &self.settings;
        if work_left > 0 {
            return fault
                .summarized("the service still works for requests that were answered")
                .caused_by(format!(
                    "it waited for an instance; {work_left} of {alive} instances (`max_instances`: \
                     {max_instances}) do work that a request left behind after its answer, and take no \
                     other request meanwhile, because each has one request at a time (`serial`; 0.2 \
                     components always do); that work may go on for {post_return_timeout:?} \
                     (`post_return_timeout`), and a request waits for {queue_timeout:?} \
                     (`queue_timeout`)"
                ));
        }
        fault.caused_by(format!(
            "it waited for an instance; there are {alive} instances (`max_instances`: \
             {max_instances}), of which {backpressure} are under backpressure, and a request waits for \
             {queue_timeout:?} (`queue_timeout`)"
        ))
    }

    /// Refuses all waiting requests, because nothing will serve them for now.
    fn refuse_queue(&self, shell: &mut Shell) {
        tracing::warn!(
            service = %self.service(),
            "the service keeps failing: requests are refused for a while, and then one is tried"
        );
        for request in shell.core.empty_queue() {
            // The other end sees the request dropped.
            drop(shell.waiting.remove(&request));
        }
    }

    /// Records a request that was answered by its guest. Costs nothing while there are no failures.
    pub(super) fn succeeded(&self) {
        if self.troubled.swap(false, Ordering::Relaxed) {
            self.lock().circuit.succeeded();
        }
    }

    /// Records an instance that failed by its own fault.
    pub(crate) fn failed(&self) {
        self.counters.count(Count::Failed);
        let mut shell = self.lock();
        self.troubled.store(true, Ordering::Relaxed);
        if shell.circuit.failed(Instant::now(), fastrand::f64()) {
            self.refuse_queue(&mut shell);
        }
    }

    pub(super) fn leave(self: &Arc<Self>, key: RequestKey, missed_deadline: bool) {
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
        self.tell_busy(&mut shell);
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
        if shell.circuit.start_failed(Instant::now(), fastrand::f64()) {
            self.refuse_queue(&mut shell);
        }
        shell.inboxes.remove(&key);
        let failed = failed.and_then(|request| shell.waiting.remove(&request));
        drop(shell);
        tracing::debug!(service = %self.service(), instance = key.0, %cause, "instance not started");
        if let Some(request) = failed {
            let _ = request.answer.send(Err(if error.is::<SlowStart>() {
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

    /// Handles an instance that has no work any more.
    pub(crate) fn at_rest(&self) {
        // Either this sees the waiting task, or that task sees that the instance rests: `watch_busy`.
        fence(Ordering::SeqCst);
        if self.busy.receiver_count() > 0 {
            self.tell_busy(&mut self.lock());
        }
    }

    /// Lets the scheduler decide on an event, given the current work of its instances.
    pub(super) fn happened(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut Scheduler, &mut Vec<Action>),
    ) {
        self.change(&mut self.look(), decide);
    }

    /// Takes back the requests that an instance has not started.
    pub(crate) fn give_back(self: &Arc<Self>, inbox: &Inbox) {
        let tickets = inbox.take_back();
        if tickets.is_empty() {
            return;
        }
        let mut shell = self.lock();
        for request in tickets {
            let key = request.key;
            // Its client may have gone while it was in the inbox.
            if shell.core.place_of(key).is_none() {
                continue;
            }
            shell.waiting.insert(key, request);
            self.change(&mut shell, |core, actions| core.give_back(key, actions));
        }
    }

    /// Handles the end of an instance; requests that it had not started are reassigned.
    pub(crate) fn ended(self: &Arc<Self>, key: InstanceKey, inbox: &Inbox) {
        {
            // From here on the scheduler assigns nothing more to it, so the inbox is complete.
            let mut shell = self.lock();
            shell.inboxes.remove(&key);
            shell.core.close(key);
        }
        self.give_back(inbox);
        let mut shell = self.lock();
        self.change(&mut shell, |core, actions| core.ended(key, actions));
        self.stats.end(key, Instant::now());
        self.tell_busy(&mut shell);
    }

    /// Returns a watch of the number of requests and instances with work.
    pub(super) fn watch_busy(&self) -> watch::Receiver<usize> {
        let busy = self.busy.subscribe();
        fence(Ordering::SeqCst);
        self.tell_busy(&mut self.lock());
        busy
    }

    /// Updates the watch, if a task waits for it: counting takes a while.
    fn tell_busy(&self, shell: &mut Shell) {
        if self.busy.receiver_count() > 0 {
            shell.look();
            self.busy.send_replace(shell.core.busy());
        }
    }

    pub(crate) fn anyone_waits(&self) -> bool {
        !self.lock().waiting.is_empty()
    }

    /// Lets the scheduler decide, and carries its decisions out.
    fn change(
        self: &Arc<Self>,
        shell: &mut Shell,
        decide: impl FnOnce(&mut Scheduler, &mut Vec<Action>),
    ) {
        self.change_for(shell, &mut None, decide);
    }

    /// As `change`. Takes an arriving request, unless it has to wait.
    fn change_for(
        self: &Arc<Self>,
        shell: &mut Shell,
        arriving: &mut Option<QueuedRequest>,
        decide: impl FnOnce(&mut Scheduler, &mut Vec<Action>),
    ) {
        let mut actions = std::mem::take(&mut shell.actions);
        decide(&mut shell.core, &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Assign(key, instance) => {
                    let request = match arriving.take_if(|request| request.key == key) {
                        Some(request) => Some(request),
                        None => {
                            let waited = shell.waiting.remove(&key);
                            waited.inspect(|request| self.count_wait(request))
                        }
                    };
                    if let (Some(request), Some(inbox)) = (request, shell.inboxes.get(&instance)) {
                        inbox.push(request);
                    }
                }
                Action::Start(instance) => {
                    let inbox = Arc::new(Inbox::default());
                    shell.inboxes.insert(instance, inbox.clone());
                    self.stats.begin(instance, Instant::now());
                    let thread = self.stores.threads.instance();
                    let life = driver::drive(self.clone(), instance, inbox, thread.clone());
                    let core = &mut shell.core;
                    let life = thread.run(life);
                    let thread = self.stores.threads.spawn(life, |thread| core.load(thread));
                    core.runs_on(instance, thread);
                }
                Action::Refuse(key) => {
                    // The receiver of its answer sees the request dropped.
                    drop(arriving.take_if(|request| request.key == key));
                    drop(shell.waiting.remove(&key));
                }
                Action::Retire(instance, why) => self.retire(shell, instance, why),
            }
        }
        shell.actions = actions;
    }

    fn count_wait(&self, request: &QueuedRequest) {
        let wait = request.since.elapsed();
        // Less than this is the time that it takes to get here.
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

    fn end_one(
        self: &Arc<Self>,
        decide: impl FnOnce(&mut Scheduler, &mut Vec<Action>) -> bool,
    ) -> bool {
        let mut any = false;
        self.happened(|core, actions| any = decide(core, actions));
        any
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Shell> {
        // The scheduler does not panic on any order of events, as its tests show.
        self.state.lock()
    }

    /// Returns the scheduler, updated with the current work of its instances.
    pub(super) fn look(&self) -> MutexGuard<'_, Shell> {
        let mut shell = self.lock();
        shell.look();
        shell
    }
}

impl Shell {
    /// Updates the scheduler with the current work of its instances. They do not report each change:
    /// there is one with nearly every request, and few decisions need it.
    fn look(&mut self) {
        for (key, inbox) in &self.inboxes {
            self.core.at_work(*key, inbox.at_work());
        }
    }
}

impl GivesWay for Shared {
    fn idle(&self) -> usize {
        self.look().core.view().idle
    }

    fn evict(self: Arc<Self>) -> bool {
        self.end_one(Scheduler::evict)
    }

    fn give_way(self: Arc<Self>) -> bool {
        self.end_one(Scheduler::give_way)
    }
}
