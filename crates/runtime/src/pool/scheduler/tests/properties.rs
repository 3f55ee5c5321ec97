//! The invariants hold for any sequence of events. The model checks them.

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::model::{Model, Seen};
use super::{InstanceKey, RequestKey, World};
use crate::pool::settings::PoolSettings;

/// An event, and two numbers that choose its subject.
type Step = (Event, usize, usize);

#[derive(Debug, Clone, Copy)]
enum Event {
    Arrive,
    AbandonQueued,
    AbandonInInstance,
    Finish,
    /// An instance under backpressure gives one back.
    GiveBack,
    Started,
    StartFailed,
    Hold,
    LetGo,
    Work,
    IdleExpired,
    /// Another service needs a place.
    Evict,
    /// A service that has less needs a place.
    GiveWay,
    /// Another version of the service takes its requests.
    Replaced,
    DeadlineMissed,
    /// A retiring instance has finished its work.
    Drained,
    /// An instance ends with its requests; the second number chooses those that it had not started.
    Trap,
    /// A report about a request or an instance that is long gone.
    Late,
}

fn step() -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        12 => Just(Event::Arrive),
        1 => Just(Event::AbandonQueued),
        1 => Just(Event::AbandonInInstance),
        6 => Just(Event::Finish),
        2 => Just(Event::GiveBack),
        5 => Just(Event::Started),
        1 => Just(Event::StartFailed),
        3 => Just(Event::Hold),
        3 => Just(Event::LetGo),
        3 => Just(Event::Work),
        3 => Just(Event::IdleExpired),
        1 => Just(Event::Evict),
        1 => Just(Event::GiveWay),
        1 => Just(Event::Replaced),
        1 => Just(Event::DeadlineMissed),
        2 => Just(Event::Drained),
        1 => Just(Event::Trap),
        1 => Just(Event::Late),
    ];
    (event, any::<usize>(), any::<usize>())
}

fn pool_settings() -> impl Strategy<Value = PoolSettings> {
    (
        1..6_usize,
        0..3_usize,
        1..6_usize,
        0..6_usize,
        1..5_usize,
        0..8_usize,
    )
        .prop_map(
            |(max_instances, min_idle, least, spread, concurrent, max_queue)| PoolSettings {
                max_instances,
                min_idle,
                max_requests_per_instance: least..=least + spread,
                max_concurrent_per_instance: concurrent,
                max_queue,
                ..PoolSettings::of(World::Service)
            },
        )
}

fn pick<T>(candidates: impl Iterator<Item = T>, choice: usize) -> Option<T> {
    let mut candidates: Vec<T> = candidates.collect();
    let index = choice.checked_rem(candidates.len())?;
    Some(candidates.swap_remove(index))
}

fn instance(model: &Model, choice: usize, is_meant: impl Fn(&Seen) -> bool) -> Option<InstanceKey> {
    let meant = model.instances.iter().filter(|(_, seen)| is_meant(seen));
    pick(meant.map(|(key, _)| *key), choice)
}

fn request_in(
    model: &Model,
    choice: usize,
    is_meant: impl Fn(&Seen) -> bool,
) -> Option<RequestKey> {
    let meant = model.instances.values().filter(|seen| is_meant(seen));
    pick(meant.flat_map(|seen| seen.requests.iter().copied()), choice)
}

/// Applies the event, or does nothing if it has no possible subject.
fn apply(model: &mut Model, (event, choice, detail): Step) -> Option<()> {
    match event {
        Event::Arrive => {
            model.arrive();
        }
        Event::AbandonQueued => {
            let request = pick(model.queue.iter().copied(), choice)?;
            model.abandon(request);
        }
        Event::AbandonInInstance => {
            let request = request_in(model, choice, |_| true)?;
            model.abandon(request);
        }
        Event::Finish => {
            let request = request_in(model, choice, |_| true)?;
            model.finish(request);
        }
        Event::GiveBack => {
            let request = request_in(model, choice, |seen| seen.held)?;
            model.give_back(request);
        }
        Event::Started => {
            let key = instance(model, choice, |seen| !seen.ready)?;
            model.started(key);
        }
        Event::StartFailed => {
            let key = instance(model, choice, |seen| !seen.ready)?;
            model.start_failed(key);
        }
        Event::Hold => {
            let key = instance(model, choice, |seen| seen.ready && !seen.held)?;
            model.backpressure(key, true);
        }
        Event::LetGo => {
            let key = instance(model, choice, |seen| seen.held)?;
            model.backpressure(key, false);
        }
        Event::Work => {
            let key = instance(model, choice, |seen| seen.ready)?;
            model.at_work(key, detail % 2 == 0);
        }
        Event::Evict => {
            model.evict();
        }
        Event::GiveWay => {
            model.give_way();
        }
        Event::Replaced => {
            model.replaced();
        }
        Event::IdleExpired => {
            let key = instance(model, choice, |seen| seen.ready)?;
            model.idle_expired(key);
        }
        Event::DeadlineMissed => {
            let key = instance(model, choice, |seen| seen.ready)?;
            model.deadline_missed(key);
        }
        Event::Drained => {
            let is_drained = |seen: &Seen| seen.retiring && seen.requests.is_empty();
            let key = instance(model, choice, is_drained)?;
            model.ended(key, []);
        }
        Event::Trap => {
            let key = instance(model, choice, |seen| seen.ready)?;
            let mut not_started = model.instances[&key].requests.clone();
            let mut bits = detail;
            not_started.retain(|_| {
                bits = bits.rotate_right(1);
                bits & 1 == 1
            });
            model.ended(key, not_started);
        }
        Event::Late => late(model),
    }
    Some(())
}

/// Reports about requests and instances that are gone cause no action.
fn late(model: &mut Model) {
    let (request, key) = (RequestKey(u64::MAX), InstanceKey(u64::MAX));
    let actions = [
        model.abandon(request),
        model.finish(request),
        model.give_back(request),
        model.started(key),
        model.backpressure(key, true),
        model.backpressure(key, false),
        model.idle_expired(key),
        model.deadline_missed(key),
        model.ended(key, []),
    ];
    assert_eq!(actions.concat(), []);
}

/// Ends all activity in the most orderly way.
fn settle(model: &mut Model) {
    // Each round ends an instance or a request, or there is nothing left to do.
    while model.view().in_flight + model.view().queued + model.view().starting > 0 {
        while let Some(key) = instance(model, 0, |seen| !seen.ready) {
            model.started(key);
        }
        while let Some(key) = instance(model, 0, |seen| seen.held) {
            model.backpressure(key, false);
        }
        while let Some(request) = request_in(model, 0, |_| true) {
            model.finish(request);
        }
        while let Some(key) = instance(model, 0, |seen| seen.retiring) {
            model.ended(key, []);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 300,
        // The same cases each time, so that failures can be reproduced.
        rng_seed: RngSeed::Fixed(48),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_invariants_hold_in_every_order_of_events(
        settings in pool_settings(),
        parallelism in 1..5_usize,
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut model = Model::new(settings, parallelism, seed);
        for step in steps {
            let _ = apply(&mut model, step);
        }
        // Nothing is stuck: waiting requests are served if the guests behave well from now on.
        settle(&mut model);
    }
}
