//! Tests of the pool's decisions: one by one, under random events, and over the lives of thousands
//! of requests.

mod lifetimes;
mod load;
mod model;
mod placement;
mod profiles;
mod properties;
mod simulation;
mod views;

use super::{Action, InstanceKey, RequestKey, Retirement, Scheduler};
use crate::pool::settings::PoolSettings;
use crate::threads::ThreadKey;
use crate::world::World;

/// Requests of the warm-up have lower numbers, because they arrive earlier.
const FIRST: u64 = 100;

/// Small numbers, so that bounds are near.
fn settings() -> PoolSettings {
    PoolSettings {
        max_instances: 4,
        max_requests_per_instance: 1_000..=1_000,
        max_concurrent_per_instance: 4,
        max_queue: 8,
        ..PoolSettings::of(World::Service)
    }
}

/// A pool that returns the actions of each event.
struct Pool(Scheduler);

impl Pool {
    fn new(settings: PoolSettings, parallelism: usize) -> Self {
        Self(Scheduler::new(settings, parallelism, 7))
    }

    /// Returns a pool with this many idle instances, numbered from zero.
    fn warm(settings: PoolSettings, parallelism: usize, instances: usize) -> Self {
        let mut pool = Self::new(settings, parallelism);
        let mut requests = 0;
        let mut started = 0;
        while started < instances {
            for action in pool.arrive(requests) {
                if let Action::Start(InstanceKey(instance)) = action {
                    pool.started(instance);
                    started += 1;
                }
            }
            requests += 1;
            assert!(requests < FIRST, "no so many instances are started");
        }
        for request in 0..requests {
            pool.finish(request);
        }
        for instance in 0..started as u64 {
            pool.at_work(instance, false);
        }
        assert_eq!(pool.0.view().idle, instances);
        pool
    }

    /// Lets this many requests arrive, the first of them numbered [`FIRST`].
    fn arrive_many(&mut self, requests: u64) -> Vec<Action> {
        (FIRST..FIRST + requests)
            .flat_map(|request| self.arrive(request))
            .collect()
    }

    /// Lets a request arrive on a thread that is no serving thread.
    fn arrive(&mut self, request: u64) -> Vec<Action> {
        actions(|actions| self.0.arrive(RequestKey(request), None, actions))
    }

    fn arrive_on(&mut self, thread: u64, request: u64) -> Vec<Action> {
        let thread = Some(ThreadKey(thread));
        actions(|actions| self.0.arrive(RequestKey(request), thread, actions))
    }

    /// Lets each instance run on the serving thread with its number.
    fn on_threads(&mut self, threads: u64) {
        for thread in 0..threads {
            self.0.runs_on(InstanceKey(thread), Some(ThreadKey(thread)));
        }
    }

    fn finish(&mut self, request: u64) -> Vec<Action> {
        actions(|actions| self.0.finish(RequestKey(request), actions))
    }

    fn give_back(&mut self, request: u64) -> Vec<Action> {
        actions(|actions| self.0.give_back(RequestKey(request), actions))
    }

    fn abandon(&mut self, request: u64) -> (bool, Vec<Action>) {
        let mut queued = false;
        let actions = actions(|actions| queued = self.0.abandon(RequestKey(request), actions));
        (queued, actions)
    }

    fn started(&mut self, instance: u64) -> Vec<Action> {
        actions(|actions| self.0.started(InstanceKey(instance), actions))
    }

    fn replaced(&mut self) -> Vec<Action> {
        actions(|actions| self.0.replaced(actions))
    }

    fn outgrown(&mut self, instance: u64) -> Vec<Action> {
        actions(|actions| self.0.outgrown(InstanceKey(instance), actions))
    }

    fn start_failed(&mut self, instance: u64) -> (Option<u64>, Vec<Action>) {
        let mut failed = None;
        let actions =
            actions(|actions| failed = self.0.start_failed(InstanceKey(instance), actions));
        (failed.map(|RequestKey(request)| request), actions)
    }

    /// Applies backpressure with this many requests in the guest.
    fn hold(&mut self, instance: u64, running: usize) -> Vec<Action> {
        actions(|actions| {
            self.0
                .backpressure(InstanceKey(instance), true, running, actions);
        })
    }

    fn let_go(&mut self, instance: u64) -> Vec<Action> {
        actions(|actions| {
            self.0
                .backpressure(InstanceKey(instance), false, 0, actions);
        })
    }

    fn at_work(&mut self, instance: u64, at_work: bool) {
        self.0.at_work(InstanceKey(instance), at_work);
    }

    fn idle_expired(&mut self, instance: u64) -> Vec<Action> {
        actions(|actions| self.0.idle_expired(InstanceKey(instance), actions))
    }

    fn evict(&mut self) -> (bool, Vec<Action>) {
        let mut evicted = false;
        let actions = actions(|actions| evicted = self.0.evict(actions));
        (evicted, actions)
    }

    fn give_way(&mut self) -> (bool, Vec<Action>) {
        let mut gave_way = false;
        let actions = actions(|actions| gave_way = self.0.give_way(actions));
        (gave_way, actions)
    }

    fn deadline_missed(&mut self, instance: u64) -> Vec<Action> {
        actions(|actions| self.0.deadline_missed(InstanceKey(instance), actions))
    }

    fn ended(&mut self, instance: u64) -> Vec<Action> {
        actions(|actions| self.0.ended(InstanceKey(instance), actions))
    }
}

fn actions(event: impl FnOnce(&mut Vec<Action>)) -> Vec<Action> {
    let mut actions = Vec::new();
    event(&mut actions);
    actions
}

fn assign(request: u64, instance: u64) -> Action {
    Action::Assign(RequestKey(request), InstanceKey(instance))
}

fn start(instance: u64) -> Action {
    Action::Start(InstanceKey(instance))
}

fn refuse(request: u64) -> Action {
    Action::Refuse(RequestKey(request))
}

fn retire(instance: u64, why: Retirement) -> Action {
    Action::Retire(InstanceKey(instance), why)
}
