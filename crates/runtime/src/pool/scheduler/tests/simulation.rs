//! Thousands of requests and the guests that serve them, in virtual time. Each request has one
//! outcome, and nothing is left at the end. The model checks the invariants at every event.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use super::load::{Backpressure, Dice, Outcome, Profile, Tally, Time};
use super::model::Model;
use super::{Action, InstanceKey, RequestKey};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive,
    Started(InstanceKey),
    StartFailed(InstanceKey),
    /// Calls the guest for a request; it may apply backpressure by now.
    Enter(RequestKey, InstanceKey),
    Answered(RequestKey),
    Trapped(RequestKey),
    LetGo(InstanceKey),
    Leaves(RequestKey),
    QueueTimeout(RequestKey),
    Deadline(RequestKey),
    /// The grace period for the other requests of the instance is over.
    Dropped(InstanceKey),
    /// The instance has no work, unless something came since; the number counts that.
    Rests(InstanceKey, u64),
    IdleExpired(InstanceKey, u64),
}

pub(super) struct Simulation {
    profile: Profile,
    model: Model,
    dice: Dice,
    now: Time,
    /// Future events, the soonest first; events at the same time in the order of planning.
    events: BinaryHeap<Reverse<(Time, u64, Event)>>,
    planned: u64,
    arrived: usize,
    guests: BTreeMap<InstanceKey, Guest>,
    outcomes: BTreeMap<RequestKey, Outcome>,
    given_back: usize,
}

#[derive(Default)]
struct Guest {
    running: BTreeSet<RequestKey>,
    held: bool,
    generation: u64,
}

impl Simulation {
    pub(super) fn new(profile: Profile, seed: u64) -> Self {
        let mut simulation = Self {
            model: Model::new(profile.settings.clone(), 2, seed),
            profile,
            dice: Dice::new(seed),
            now: 0,
            events: BinaryHeap::new(),
            planned: 0,
            arrived: 0,
            guests: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            given_back: 0,
        };
        simulation.plan(0, Event::Arrive);
        simulation
    }

    /// Runs until there are no more events, and returns the outcomes.
    pub(super) fn run(mut self) -> Tally {
        while let Some(Reverse((time, _, event))) = self.events.pop() {
            self.now = time;
            self.happen(event);
        }

        let view = self.model.view();
        assert_eq!(view.queued, 0, "somebody waits for nothing");
        assert_eq!(view.in_flight, 0, "a place is not freed");
        assert_eq!(view.starting + view.active + view.retiring, 0, "{view:?}");
        assert!(view.idle <= self.profile.settings.min_idle, "{view:?}");
        assert_eq!(
            self.outcomes.len(),
            self.profile.requests,
            "a request is lost"
        );
        Tally::new(self.outcomes.into_values(), self.given_back)
    }

    fn plan(&mut self, delay: Time, event: Event) {
        self.planned += 1;
        self.events
            .push(Reverse((self.now + delay, self.planned, event)));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrive => self.arrive(),
            Event::Started(key) => {
                let actions = self.model.started(key);
                self.guests.insert(key, Guest::default());
                self.carry_out(actions);
                self.rest_if_empty(key);
            }
            Event::StartFailed(key) => {
                let (failed, actions) = self.model.start_failed(key);
                if let Some(request) = failed {
                    self.over(request, Outcome::FailedWithStart);
                }
                self.carry_out(actions);
            }
            Event::Enter(request, key) => self.enter(request, key),
            Event::Answered(request) => {
                if let Some(key) = self.running_in(request) {
                    self.over(request, Outcome::Answered);
                    self.leave(request, key);
                }
            }
            Event::Trapped(request) => {
                if let Some(key) = self.running_in(request) {
                    self.end(key);
                }
            }
            Event::LetGo(key) => {
                if self.guests.get(&key).is_some_and(|guest| guest.held) {
                    self.hold(key, false);
                }
            }
            Event::Leaves(request) => {
                if !self.outcomes.contains_key(&request) {
                    self.abandon(request, Outcome::Abandoned);
                }
            }
            Event::QueueTimeout(request) => {
                if self.model.queue.contains(&request) {
                    self.abandon(request, Outcome::QueueTimeout);
                }
            }
            Event::Deadline(request) => self.miss_deadline(request),
            Event::Dropped(key) => self.end(key),
            Event::Rests(key, generation) => {
                if self.is_unchanged(key, generation) {
                    self.model.at_work(key, false);
                    if self.model.instances[&key].retiring {
                        self.end(key);
                    } else {
                        self.plan(
                            self.profile.idle_timeout,
                            Event::IdleExpired(key, generation),
                        );
                    }
                }
            }
            Event::IdleExpired(key, generation) => {
                if self.is_unchanged(key, generation) {
                    let actions = self.model.idle_expired(key);
                    self.carry_out(actions);
                }
            }
        }
    }

    fn arrive(&mut self) {
        self.arrived += 1;
        if self.arrived < self.profile.requests {
            let gap = self.dice.within(&self.profile.gap);
            self.plan(gap, Event::Arrive);
        }
        let (request, actions) = self.model.arrive();
        self.plan(self.profile.deadline, Event::Deadline(request));
        self.plan(self.profile.queue_timeout, Event::QueueTimeout(request));
        if self.dice.happens(self.profile.clients_leave) {
            let patience = self.dice.within(&self.profile.service);
            self.plan(patience, Event::Leaves(request));
        }
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Assign(request, key) => {
                    let guest = self.guests.get_mut(&key).expect("is alive");
                    guest.generation += 1;
                    let way = self.dice.within(&(1..20));
                    self.plan(way, Event::Enter(request, key));
                }
                Action::Start(key) => {
                    let delay = self.dice.within(&self.profile.start);
                    let fails = self.dice.happens(self.profile.starts_fail);
                    let event = if fails {
                        Event::StartFailed
                    } else {
                        Event::Started
                    };
                    self.plan(delay, event(key));
                }
                Action::Refuse(request) => self.over(request, Outcome::QueueFull),
                Action::Retire(key, _) => self.rest_if_empty(key),
            }
        }
    }

    fn enter(&mut self, request: RequestKey, key: InstanceKey) {
        if self.model.instance_of(request) != Some(key) {
            return; // Nobody waits for it any more, or it was given back.
        }
        let guest = self.guests.get_mut(&key).expect("is alive");
        if guest.held {
            self.given_back += 1;
            let actions = self.model.give_back(request);
            self.carry_out(actions);
            return self.rest_if_empty(key);
        }
        guest.running.insert(request);
        let running = guest.running.len();
        self.model.at_work(key, true);

        let service = self.dice.within(&self.profile.service);
        if self.dice.happens(self.profile.requests_trap) {
            self.plan(service, Event::Trapped(request));
        } else if !self.dice.happens(self.profile.requests_hang) {
            self.plan(service, Event::Answered(request));
        }
        match self.profile.backpressure {
            Backpressure::At(most) if running >= most => self.hold(key, true),
            Backpressure::ForEver => self.hold(key, true),
            Backpressure::NowAndThen if self.dice.happens(300) => {
                self.hold(key, true);
                self.plan(service / 2, Event::LetGo(key));
            }
            _ => {}
        }
    }

    fn hold(&mut self, key: InstanceKey, held: bool) {
        self.guests.get_mut(&key).expect("is alive").held = held;
        let actions = self.model.backpressure(key, held);
        self.carry_out(actions);
    }

    /// Removes a request that has an outcome from its instance.
    fn leave(&mut self, request: RequestKey, key: InstanceKey) {
        let guest = self.guests.get_mut(&key).expect("is alive");
        guest.running.remove(&request);
        let running = guest.running.len();
        let actions = self.model.finish(request);
        self.carry_out(actions);
        if matches!(self.profile.backpressure, Backpressure::At(most) if running < most) {
            self.happen(Event::LetGo(key));
        }
        self.rest_if_empty(key);
    }

    fn abandon(&mut self, request: RequestKey, outcome: Outcome) {
        self.over(request, outcome);
        if let Some(key) = self.running_in(request) {
            return self.leave(request, key);
        }
        let key = self.model.instance_of(request);
        let actions = self.model.abandon(request);
        self.carry_out(actions);
        if let Some(key) = key {
            self.rest_if_empty(key);
        }
    }

    fn miss_deadline(&mut self, request: RequestKey) {
        if self.outcomes.contains_key(&request) {
            return;
        }
        let key = self.model.instance_of(request);
        self.abandon(request, Outcome::DeadlineMissed);
        if let Some(key) = key {
            let actions = self.model.deadline_missed(key);
            self.carry_out(actions);
            self.plan(self.profile.deadline / 10, Event::Dropped(key));
        }
    }

    /// Ends the instance; the requests that it had started fail.
    fn end(&mut self, key: InstanceKey) {
        let Some(guest) = self.guests.remove(&key) else {
            return;
        };
        let requests = &self.model.instances[&key].requests;
        let not_started: Vec<_> = requests.difference(&guest.running).copied().collect();
        self.given_back += not_started.len();
        for request in guest.running {
            self.over(request, Outcome::FailedWithInstance);
        }
        let actions = self.model.ended(key, not_started);
        self.carry_out(actions);
    }

    /// After its last request, an instance may work on, and then rests.
    fn rest_if_empty(&mut self, key: InstanceKey) {
        if self.model.instances[&key].requests.is_empty() {
            let after = self.dice.within(&self.profile.after);
            self.plan(after, Event::Rests(key, self.guests[&key].generation));
        }
    }

    fn is_unchanged(&self, key: InstanceKey, generation: u64) -> bool {
        let guest = self.guests.get(&key);
        guest.is_some_and(|guest| guest.generation == generation)
            && self.model.instances[&key].requests.is_empty()
    }

    fn running_in(&self, request: RequestKey) -> Option<InstanceKey> {
        let key = self.model.instance_of(request)?;
        self.guests[&key].running.contains(&request).then_some(key)
    }

    fn over(&mut self, request: RequestKey, outcome: Outcome) {
        let earlier = self.outcomes.insert(request, outcome);
        assert_eq!(earlier, None, "{request:?} ends twice, now {outcome:?}");
    }
}
