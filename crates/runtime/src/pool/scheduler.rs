//! Assigns requests to instances: the pool's decisions, and nothing else.
//!
//! Events go in, actions come out. Nothing here waits, locks, reads a clock or knows wasmtime, and
//! randomness comes from a seed. The caller carries the actions out and reports the results.
//!
//! # Invariants
//!
//! Between two events:
//!
//! 1. A request is in one place: in the queue, in one instance, or gone.
//! 2. No more than `max_instances` instances are alive, whatever their state.
//! 3. No instance has more than `max_concurrent_per_instance` requests, nor was it ever given more
//!    than its limit in all.
//! 4. An instance that is starting, retiring or under backpressure is given no request.
//! 5. No request waits while an instance has room for it, and none waits for nothing: if the queue is
//!    not empty, something is alive or starting that will take from it, or a probe is due.
//! 6. The queue is served in the order of arrival, and holds no more than `max_queue`.

mod instance;
mod types;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rustc_hash::FxBuildHasher;

use self::instance::{Instance, Phase};
use crate::pool::instance_stats::{InstanceState, InstanceView};
use crate::pool::settings::PoolSettings;
use crate::threads::ThreadKey;

pub use self::instance::PoolView;
pub(crate) use self::types::{Action, InstanceKey, RequestKey, Retirement};

/// The requests that the instance of a request's own thread may have, besides twice those of the least loaded
/// one, and still get it. This is far more than a serving thread has at once unless it cannot keep up, and
/// little work: requests that compute are not counted on, as they run elsewhere.
const NEAR: usize = 16;

#[derive(Debug)]
pub(crate) struct Scheduler {
    settings: PoolSettings,
    /// The number of threads that run guests. This many instances are started before one is shared, because
    /// an instance runs on one thread at a time.
    parallelism: usize,
    /// In the order of their keys, which is the order of their starts.
    instances: Vec<Instance>,
    /// Waiting requests, longest first. Few leave it from the middle.
    queue: VecDeque<RequestKey>,
    /// The instances of the assigned requests.
    assigned: HashMap<RequestKey, InstanceKey, FxBuildHasher>,
    next_instance: u64,
    random: fastrand::Rng,
    /// The number of waiting requests that one more instance is expected to take: the number that an
    /// instance last had when its guest began to apply backpressure, or without backpressure.
    expected_share: usize,
}

impl Scheduler {
    pub(crate) fn new(settings: PoolSettings, parallelism: usize, seed: u64) -> Self {
        // No instance takes more than its limit in all.
        let expected_share = settings
            .max_concurrent_per_instance
            .min(*settings.max_requests_per_instance.start())
            .max(1);
        Self {
            settings,
            parallelism: parallelism.max(1),
            instances: Vec::new(),
            queue: VecDeque::new(),
            assigned: HashMap::default(),
            next_instance: 0,
            random: fastrand::Rng::with_seed(seed),
            expected_share,
        }
    }

    /// Handles a request that arrives on a thread: a serving thread, or another.
    pub(crate) fn arrive(
        &mut self,
        request: RequestKey,
        thread: Option<ThreadKey>,
        actions: &mut Vec<Action>,
    ) {
        // Waiting requests go first.
        if self.queue.is_empty()
            && let Some(index) = self.place(thread)
        {
            // A thread that runs guests gets an instance of its own, for the requests to come: with one of another
            // thread, each part of a body wakes both threads, which takes five times the CPU time. This request
            // need not wait for it.
            let instance = &self.instances[index];
            let is_far = match thread {
                Some(_) => instance.thread != thread,
                None => instance.in_flight > 0,
            };
            if is_far && self.instances.len() < self.parallelism.min(self.settings.max_instances) {
                self.start(actions);
            }
            self.assign(request, index, actions);
            return;
        }
        if self.queue.len() >= self.settings.max_queue {
            actions.push(Action::Refuse(request));
            return;
        }
        self.queue.push_back(request);
        self.start_if_needed(actions);
    }

    /// Handles a request that was dropped. Returns true if it was in the queue.
    pub(crate) fn abandon(&mut self, request: RequestKey, actions: &mut Vec<Action>) -> bool {
        if let Some(position) = self.queue.iter().position(|queued| *queued == request) {
            self.queue.remove(position);
            return true;
        }
        self.finish(request, actions);
        false
    }

    /// Handles the end of a request: its answer was sent to the last byte, or it failed.
    pub(crate) fn finish(&mut self, request: RequestKey, actions: &mut Vec<Action>) {
        let Some(key) = self.assigned.remove(&request) else {
            return;
        };
        if let Some(instance) = self.instance_mut(key) {
            instance.in_flight -= 1;
            if !instance.held {
                // The guest had no trouble with this one beside the others.
                let taken = instance.in_flight + 1;
                self.expected_share = self.expected_share.max(taken);
            }
        }
        self.serve_queue(actions);
    }

    /// Handles a request that an instance gives back without having started it, because its guest applies
    /// backpressure or because it has ended. The request is reassigned before those that wait.
    pub(crate) fn give_back(&mut self, request: RequestKey, actions: &mut Vec<Action>) {
        let Some(key) = self.assigned.remove(&request) else {
            return;
        };
        if let Some(instance) = self.instance_mut(key) {
            instance.in_flight -= 1;
            instance.left += 1;
            // In both cases it takes nothing now, least of all this request, until backpressure ends.
            instance.held = true;
        }
        // May exceed the bound by the few that were in instances; they were admitted before. Requests given
        // back earlier may have arrived earlier.
        let position = self.queue.partition_point(|queued| *queued < request);
        self.queue.insert(position, request);
        self.serve_queue(actions);
    }

    /// Returns the number of instances on a serving thread that take requests. An instance for one request
    /// is best started where the request is, whatever runs there already.
    pub(crate) fn load(&self, thread: ThreadKey) -> usize {
        if self.settings.max_concurrent_per_instance == 1 {
            return 0;
        }
        let there = self.instances.iter().filter(|instance| {
            instance.thread == Some(thread) && instance.phase != Phase::Retiring
        });
        there.count()
    }

    /// Records the serving thread of a new instance.
    pub(crate) fn runs_on(&mut self, key: InstanceKey, thread: Option<ThreadKey>) {
        if let Some(instance) = self.instance_mut(key) {
            instance.thread = thread;
        }
    }

    /// Handles an instance that has become ready for requests.
    pub(crate) fn started(&mut self, key: InstanceKey, actions: &mut Vec<Action>) {
        if let Some(instance) = self.instance_mut(key)
            && instance.phase == Phase::Starting
        {
            instance.phase = Phase::Ready;
        }
        self.serve_queue(actions);
    }

    /// Handles a guest that begins to apply backpressure with this many requests, or stops.
    pub(crate) fn backpressure(
        &mut self,
        key: InstanceKey,
        held: bool,
        running: usize,
        actions: &mut Vec<Action>,
    ) {
        let Some(instance) = self.instance_mut(key) else {
            return;
        };
        instance.held = held;
        if held {
            self.expected_share = self.expected_share.min(running.max(1));
        }
        self.serve_queue(actions);
    }

    /// Handles an instance that has got work, or has none any more.
    pub(crate) fn at_work(&mut self, key: InstanceKey, at_work: bool) {
        if let Some(instance) = self.instance_mut(key) {
            instance.at_work = at_work;
        }
    }

    /// Handles an instance that had no work for the idle timeout.
    pub(crate) fn idle_expired(&mut self, key: InstanceKey, actions: &mut Vec<Action>) {
        let spare = self
            .instances
            .iter()
            .filter(|instance| instance.is_idle() && !instance.held)
            .count();
        let may_go = spare > self.settings.min_idle;
        // A guest that applies backpressure without work is of no use to the next request.
        if let Some(instance) = self.instance_mut(key)
            && instance.is_idle()
            && (may_go || instance.held)
        {
            instance.phase = Phase::Retiring;
            actions.push(Action::Retire(key, Retirement::Idle));
        }
    }

    /// Ends the longest idle instance, if there is one, because another service needs a place in the engine.
    /// This includes instances that `min_idle` keeps: a request that waits is worth more than one that may
    /// come.
    pub(crate) fn evict(&mut self, actions: &mut Vec<Action>) -> bool {
        // The newest are used first, so the oldest has been idle for longest.
        let Some(instance) = self
            .instances
            .iter_mut()
            .find(|instance| instance.is_idle())
        else {
            return false;
        };
        instance.phase = Phase::Retiring;
        actions.push(Action::Retire(instance.key, Retirement::Evicted));
        true
    }

    /// Retires the instance with the fewest requests, because a service that has less needs a place in the
    /// engine. Retires none if no other would be left for the next request.
    pub(crate) fn give_way(&mut self, actions: &mut Vec<Action>) -> bool {
        let ready = |instance: &&mut Instance| instance.phase == Phase::Ready;
        let mut instances: Vec<_> = self.instances.iter_mut().filter(ready).collect();
        if instances.len() < 2 {
            return false;
        }
        let Some(instance) = instances
            .iter_mut()
            .min_by_key(|instance| instance.in_flight)
        else {
            return false;
        };
        instance.phase = Phase::Retiring;
        actions.push(Action::Retire(instance.key, Retirement::GaveWay));
        true
    }

    /// Retires all instances, because another version of the service takes its requests. Requests under way
    /// are still served.
    pub(crate) fn replaced(&mut self, actions: &mut Vec<Action>) {
        self.settings.min_idle = 0;
        for instance in &mut self.instances {
            // A starting instance has a request that waits for it, or ends when it is idle.
            if instance.phase == Phase::Ready {
                instance.phase = Phase::Retiring;
                actions.push(Action::Retire(instance.key, Retirement::Replaced));
            }
        }
        self.start_if_needed(actions);
    }

    /// Handles a missed deadline of a request in this instance, which may be the reason.
    pub(crate) fn deadline_missed(&mut self, key: InstanceKey, actions: &mut Vec<Action>) {
        // Applies to retired instances, too: a missed deadline is more urgent than other reasons.
        if let Some(instance) = self.instance_mut(key)
            && !instance.late
        {
            instance.phase = Phase::Retiring;
            instance.late = true;
            actions.push(Action::Retire(key, Retirement::Deadline));
        }
        self.start_if_needed(actions);
    }

    /// Retires an instance that has more tasks than attribution can tell apart.
    pub(crate) fn outgrown(&mut self, key: InstanceKey, actions: &mut Vec<Action>) {
        if let Some(instance) = self.instance_mut(key)
            && instance.phase == Phase::Ready
        {
            instance.phase = Phase::Retiring;
            actions.push(Action::Retire(key, Retirement::Outgrown));
        }
        self.start_if_needed(actions);
    }

    /// Handles the end of an instance. Requests that it had started are over.
    pub(crate) fn ended(&mut self, key: InstanceKey, actions: &mut Vec<Action>) {
        self.instances.retain(|instance| instance.key != key);
        self.assigned.retain(|_, at| *at != key);
        self.serve_queue(actions);
    }

    /// Handles a failed start. Returns the one request that fails with it.
    pub(crate) fn start_failed(
        &mut self,
        key: InstanceKey,
        actions: &mut Vec<Action>,
    ) -> Option<RequestKey> {
        self.instances.retain(|instance| instance.key != key);
        let failed = self.queue.pop_front();
        self.serve_queue(actions);
        failed
    }

    /// Empties the queue, because nothing will serve it.
    pub(crate) fn empty_queue(&mut self) -> Vec<RequestKey> {
        self.queue.drain(..).collect()
    }

    /// Stops assigning to an instance that is about to end.
    pub(crate) fn close(&mut self, key: InstanceKey) {
        if let Some(instance) = self.instance_mut(key) {
            instance.phase = Phase::Retiring;
        }
    }

    pub(crate) fn place_of(&self, request: RequestKey) -> Option<InstanceKey> {
        self.assigned.get(&request).copied()
    }

    /// Returns the number of requests in an instance, including those whose answer is being sent.
    pub(crate) fn in_flight(&self, key: InstanceKey) -> usize {
        self.instances
            .binary_search_by_key(&key, |instance| instance.key)
            .map_or(0, |index| self.instances[index].in_flight)
    }

    /// Returns the number of waiting requests plus the number of instances with work.
    pub(crate) fn busy(&self) -> usize {
        let at_work = self
            .instances
            .iter()
            .filter(|instance| instance.in_flight > 0 || instance.at_work);
        self.queue.len() + at_work.count()
    }

    pub(crate) fn view(&self) -> PoolView {
        let mut view = PoolView {
            queued: self.queue.len(),
            ..PoolView::default()
        };
        for instance in &self.instances {
            view.in_flight += instance.in_flight;
            view.held += usize::from(instance.phase == Phase::Ready && instance.held);
            match instance.state() {
                InstanceState::Starting => view.starting += 1,
                InstanceState::Retiring => view.retiring += 1,
                InstanceState::Idle => view.idle += 1,
                InstanceState::Active => view.active += 1,
            }
        }
        view
    }

    /// Returns a view of each instance. `age` provides the ages.
    pub(crate) fn instances(&self, age: impl Fn(InstanceKey) -> Duration) -> Vec<InstanceView> {
        let view = |instance: &Instance| InstanceView {
            number: instance.key.0,
            state: instance.state(),
            in_flight: instance.in_flight,
            held: instance.held,
            remaining: instance.left,
            age: age(instance.key),
        };
        self.instances.iter().map(view).collect()
    }

    /// Returns the instance for a request that arrives on this thread, if there is one.
    ///
    /// Newest first, because a recent instance's memory is warm and the oldest become idle and end; but the
    /// least loaded of as many as there are threads, because an instance runs on one thread at a time and
    /// requests that compute would wait for each other beside an idle thread. Before them an instance of the
    /// same thread, unless it has many more requests, because no other thread has to be woken for it
    /// (`docs/decisions/0004-newest-first.md`).
    fn place(&self, thread: Option<ThreadKey>) -> Option<usize> {
        let with_room = || {
            let all = self.instances.iter().enumerate().rev();
            all.filter(|(_, instance)| self.has_room(instance))
        };
        let least = with_room()
            .take(self.parallelism)
            .min_by_key(|(_, instance)| instance.in_flight)?;
        let most = 2 * least.1.in_flight + NEAR;
        let near = |(_, instance): &(usize, &Instance)| {
            thread.is_some() && instance.thread == thread && instance.in_flight <= most
        };
        let (index, _) = with_room().find(near).unwrap_or(least);
        Some(index)
    }

    fn has_room(&self, instance: &Instance) -> bool {
        instance.phase == Phase::Ready
            && !instance.held
            && instance.left > 0
            && instance.in_flight < self.settings.max_concurrent_per_instance
    }

    fn assign(&mut self, request: RequestKey, index: usize, actions: &mut Vec<Action>) {
        let instance = &mut self.instances[index];
        instance.in_flight += 1;
        instance.left -= 1;
        self.assigned.insert(request, instance.key);
        actions.push(Action::Assign(request, instance.key));
        if instance.left == 0 {
            instance.phase = Phase::Retiring;
            actions.push(Action::Retire(instance.key, Retirement::Served));
        }
    }

    /// Assigns waiting requests to instances with room, and starts instances for the rest.
    fn serve_queue(&mut self, actions: &mut Vec<Action>) {
        while !self.queue.is_empty() {
            let Some(index) = self.place(None) else { break };
            if let Some(request) = self.queue.pop_front() {
                self.assign(request, index, actions);
            }
        }
        self.start_if_needed(actions);
    }

    /// Starts instances until the starting ones are expected to take all waiting requests.
    fn start_if_needed(&mut self, actions: &mut Vec<Action>) {
        let needed = self.queue.len().div_ceil(self.expected_share);
        let mut starting = self
            .instances
            .iter()
            .filter(|instance| instance.phase == Phase::Starting)
            .count();
        while starting < needed && self.instances.len() < self.settings.max_instances {
            self.start(actions);
            starting += 1;
        }
    }

    fn start(&mut self, actions: &mut Vec<Action>) {
        let key = InstanceKey(self.next_instance);
        self.next_instance += 1;
        let limit = self.draw_limit();
        self.instances.push(Instance {
            key,
            phase: Phase::Starting,
            in_flight: 0,
            left: limit,
            held: false,
            thread: None,
            at_work: false,
            late: false,
        });
        actions.push(Action::Start(key));
    }

    /// Draws the number of requests that the next instance serves, from the range of the settings.
    fn draw_limit(&mut self) -> usize {
        let (least, most) = self.settings.max_requests_per_instance.clone().into_inner();
        self.random.usize(least..=most.max(least)).max(1)
    }

    fn instance_mut(&mut self, key: InstanceKey) -> Option<&mut Instance> {
        let index = self
            .instances
            .binary_search_by_key(&key, |instance| instance.key)
            .ok()?;
        Some(&mut self.instances[index])
    }
}

#[cfg(test)]
mod tests;
