//! A model of a pool that tracks each request and each instance by the actions alone. After each
//! event it checks the invariants of the pool's documentation.

use std::collections::{BTreeMap, BTreeSet};

use super::super::PoolView;
use super::{Action, InstanceKey, RequestKey, Retirement, Scheduler};
use crate::pool::settings::PoolSettings;
use crate::threads::ThreadKey;

pub(super) struct Model {
    core: Scheduler,
    pub(super) settings: PoolSettings,
    next_request: u64,
    /// Waiting requests, in the order of arrival.
    pub(super) queue: BTreeSet<RequestKey>,
    /// Those of the queue that were in an instance before: they do not count against its bound.
    returned: BTreeSet<RequestKey>,
    /// By their keys. No key is used twice.
    pub(super) instances: BTreeMap<InstanceKey, Seen>,
    instances_started: u64,
    /// The request whose arrival is being decided: only this one can be refused.
    arriving: Option<RequestKey>,
    /// True if another version of the service takes the requests: nothing is kept.
    replaced: bool,
}

#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) ready: bool,
    pub(super) retiring: bool,
    late: bool,
    pub(super) held: bool,
    pub(super) at_work: bool,
    /// True if it has given something back, and takes nothing until backpressure ends or it ends.
    gave_back: bool,
    pub(super) requests: BTreeSet<RequestKey>,
    /// The total number of requests that it was given and kept.
    given: usize,
}

impl Seen {
    fn takes_requests(&self) -> bool {
        self.ready && !self.retiring && !self.held && !self.gave_back
    }

    pub(super) fn is_idle(&self) -> bool {
        self.ready && !self.retiring && self.requests.is_empty() && !self.at_work
    }
}

impl Model {
    pub(super) fn new(settings: PoolSettings, parallelism: usize, seed: u64) -> Self {
        Self {
            core: Scheduler::new(settings.clone(), parallelism, seed),
            settings,
            next_request: 0,
            queue: BTreeSet::new(),
            returned: BTreeSet::new(),
            instances: BTreeMap::new(),
            instances_started: 0,
            arriving: None,
            replaced: false,
        }
    }

    pub(super) fn view(&self) -> PoolView {
        self.core.view()
    }

    pub(super) fn instance_of(&self, request: RequestKey) -> Option<InstanceKey> {
        self.instances
            .iter()
            .find(|(_, seen)| seen.requests.contains(&request))
            .map(|(key, _)| *key)
    }

    pub(super) fn arrive(&mut self) -> (RequestKey, Vec<Action>) {
        let request = RequestKey(self.next_request);
        self.next_request += 1;
        self.queue.insert(request);
        self.arriving = Some(request);
        let thread = Some(ThreadKey(request.0 % 3));
        let actions = self.follow(|core, actions| core.arrive(request, thread, actions));
        self.arriving = None;
        (request, actions)
    }

    pub(super) fn abandon(&mut self, request: RequestKey) -> Vec<Action> {
        let queued = self.queue.remove(&request);
        self.returned.remove(&request);
        self.leave(request);
        self.follow(|core, actions| assert_eq!(core.abandon(request, actions), queued))
    }

    pub(super) fn finish(&mut self, request: RequestKey) -> Vec<Action> {
        self.leave(request);
        self.follow(|core, actions| core.finish(request, actions))
    }

    /// Must be called when the instance is held or ends.
    pub(super) fn give_back(&mut self, request: RequestKey) -> Vec<Action> {
        if let Some(key) = self.leave(request) {
            if let Some(seen) = self.instances.get_mut(&key) {
                seen.given -= 1;
                seen.gave_back = true;
            }
            self.queue.insert(request);
            self.returned.insert(request);
        }
        self.follow(|core, actions| core.give_back(request, actions))
    }

    pub(super) fn started(&mut self, key: InstanceKey) -> Vec<Action> {
        if let Some(seen) = self.instances.get_mut(&key) {
            seen.ready = true;
        }
        self.follow(|core, actions| core.started(key, actions))
    }

    pub(super) fn start_failed(&mut self, key: InstanceKey) -> (Option<RequestKey>, Vec<Action>) {
        self.instances.remove(&key);
        let failed = self.queue.pop_first();
        if let Some(request) = &failed {
            self.returned.remove(request);
        }
        let actions =
            self.follow(|core, actions| assert_eq!(core.start_failed(key, actions), failed));
        (failed, actions)
    }

    pub(super) fn backpressure(&mut self, key: InstanceKey, held: bool) -> Vec<Action> {
        let mut running = 0;
        if let Some(seen) = self.instances.get_mut(&key) {
            seen.held = held;
            seen.gave_back = false;
            running = seen.requests.len();
        }
        self.follow(|core, actions| core.backpressure(key, held, running, actions))
    }

    pub(super) fn at_work(&mut self, key: InstanceKey, at_work: bool) {
        if let Some(seen) = self.instances.get_mut(&key) {
            seen.at_work = at_work;
        }
        self.follow(|core, _| core.at_work(key, at_work));
    }

    pub(super) fn idle_expired(&mut self, key: InstanceKey) -> Vec<Action> {
        self.follow(|core, actions| core.idle_expired(key, actions))
    }

    pub(super) fn evict(&mut self) -> Vec<Action> {
        let idle = self.instances.values().any(Seen::is_idle);
        self.follow(|core, actions| assert_eq!(core.evict(actions), idle))
    }

    pub(super) fn give_way(&mut self) -> Vec<Action> {
        let goes_on = |seen: &&Seen| seen.ready && !seen.retiring;
        let several = self.instances.values().filter(goes_on).count() > 1;
        self.follow(|core, actions| assert_eq!(core.give_way(actions), several))
    }

    pub(super) fn replaced(&mut self) -> Vec<Action> {
        self.replaced = true;
        let actions = self.follow(Scheduler::replaced);
        assert!(
            self.instances
                .values()
                .all(|seen| seen.retiring || !seen.ready),
            "one goes on"
        );
        actions
    }

    pub(super) fn deadline_missed(&mut self, key: InstanceKey) -> Vec<Action> {
        let actions = self.follow(|core, actions| core.deadline_missed(key, actions));
        if let Some(seen) = self.instances.get(&key) {
            assert!(seen.retiring || !seen.ready, "{key:?} goes on");
        }
        actions
    }

    /// Ends an instance: it gives back the requests that it has not started, and the others are
    /// over.
    pub(super) fn ended(
        &mut self,
        key: InstanceKey,
        not_started: impl IntoIterator<Item = RequestKey>,
    ) -> Vec<Action> {
        if let Some(seen) = self.instances.get_mut(&key) {
            seen.retiring = true;
        }
        self.core.close(key);
        let mut actions = Vec::new();
        for request in not_started {
            actions.extend(self.give_back(request));
        }
        let started = self.instances.remove(&key).unwrap_or_default().requests;
        actions.extend(self.follow(|core, actions| core.ended(key, actions)));
        for request in started {
            assert_eq!(self.core.place_of(request), None, "{request:?} is over");
        }
        actions
    }

    fn leave(&mut self, request: RequestKey) -> Option<InstanceKey> {
        let key = self.instance_of(request);
        assert_eq!(self.core.place_of(request), key);
        let key = key?;
        self.instances.get_mut(&key)?.requests.remove(&request);
        Some(key)
    }

    fn follow(&mut self, event: impl FnOnce(&mut Scheduler, &mut Vec<Action>)) -> Vec<Action> {
        let mut actions = Vec::new();
        event(&mut self.core, &mut actions);
        for action in &actions {
            self.carry_out(*action);
        }
        self.check();
        actions
    }

    fn carry_out(&mut self, action: Action) {
        match action {
            Action::Assign(request, key) => {
                // This also shows that it waited: it is not assigned twice, nor after its end.
                assert_eq!(self.queue.pop_first(), Some(request), "out of order");
                self.returned.remove(&request);
                let seen = self.instances.get_mut(&key).expect("is alive");
                assert!(seen.takes_requests(), "{request:?} is given to {seen:?}");
                seen.requests.insert(request);
                seen.given += 1;
                assert!(seen.requests.len() <= self.settings.max_concurrent_per_instance);
                assert!(seen.given <= *self.settings.max_requests_per_instance.end());
            }
            Action::Start(key) => {
                assert_eq!(
                    key.0, self.instances_started,
                    "a key of its own, and rising"
                );
                self.instances_started += 1;
                self.instances.insert(key, Seen::default());
                self.core.runs_on(key, Some(ThreadKey(key.0 % 3)));
                assert!(self.instances.len() <= self.settings.max_instances);
            }
            Action::Refuse(request) => {
                assert_eq!(self.arriving, Some(request), "it was let in before");
                assert!(self.queue.remove(&request), "it went elsewhere");
                assert!(self.queue.len() >= self.settings.max_queue, "it has room");
            }
            Action::Retire(key, why) => {
                let seen = &self.instances[&key];
                // A missed deadline is reported again for an instance that already retires.
                let again = why == Retirement::Deadline && !seen.late;
                assert!(!seen.retiring || again, "{seen:?} retires");
                assert!(seen.ready, "{seen:?} retires");
                match why {
                    Retirement::Served => {
                        let range = &self.settings.max_requests_per_instance;
                        assert!(range.contains(&seen.given), "{seen:?} retires");
                    }
                    Retirement::Idle => {
                        assert!(seen.is_idle(), "{seen:?} retires");
                        let idle = self.instances.values().filter(|seen| seen.is_idle());
                        assert!(
                            seen.held || self.replaced || idle.count() > self.settings.min_idle
                        );
                    }
                    Retirement::Evicted => assert!(seen.is_idle(), "{seen:?} retires"),
                    Retirement::GaveWay => {
                        let others = self.instances.values();
                        let least = others.filter(|seen| seen.ready && !seen.retiring);
                        let least = least.map(|seen| seen.requests.len()).min();
                        assert_eq!(Some(seen.requests.len()), least);
                    }
                    Retirement::Deadline | Retirement::Outgrown | Retirement::Replaced => {}
                }
                let seen = self.instances.get_mut(&key).expect("is alive");
                seen.retiring = true;
                seen.late |= why == Retirement::Deadline;
            }
        }
    }

    /// Checks the invariants that hold between two events; those of each step are in `carry_out`.
    fn check(&self) {
        let fresh = self.queue.len() - self.returned.len();
        assert!(fresh <= self.settings.max_queue, "{fresh} wait");
        if !self.queue.is_empty() {
            for (key, seen) in &self.instances {
                let is_full = seen.requests.len() == self.settings.max_concurrent_per_instance;
                assert!(
                    !seen.takes_requests() || is_full,
                    "{key:?} has room: {seen:?}"
                );
            }
            let is_starting = self.instances.values().any(|seen| !seen.ready);
            let is_full = self.instances.len() == self.settings.max_instances;
            assert!(is_starting || is_full, "nothing starts for those that wait");
        }
        assert_eq!(self.core.view(), self.expected_view());
        let is_busy = |seen: &&Seen| seen.at_work || !seen.requests.is_empty();
        let busy = self.instances.values().filter(is_busy).count();
        assert_eq!(self.core.busy(), self.queue.len() + busy);
    }

    fn expected_view(&self) -> PoolView {
        let mut view = PoolView {
            queued: self.queue.len(),
            ..PoolView::default()
        };
        for seen in self.instances.values() {
            view.in_flight += seen.requests.len();
            let held = seen.held || seen.gave_back;
            view.held += usize::from(seen.ready && !seen.retiring && held);
            if !seen.ready {
                view.starting += 1;
            } else if seen.retiring {
                view.retiring += 1;
            } else if seen.is_idle() {
                view.idle += 1;
            } else {
                view.active += 1;
            }
        }
        view
    }
}
