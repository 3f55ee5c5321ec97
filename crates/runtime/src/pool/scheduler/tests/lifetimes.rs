//! Starts, retirements and ends of instances, and the views of them.

use std::collections::BTreeSet;

use super::super::PoolView;
use super::{
    Action, FIRST, InstanceKey, Pool, RequestKey, Retirement, Scheduler, assign, retire, settings,
    start,
};
use crate::pool::settings::PoolSettings;
use crate::world::World;

/// Returns the number of requests that each instance of a pool gets before it is retired.
fn limits(settings: PoolSettings, seed: u64, instances: usize) -> Vec<usize> {
    let mut pool = Pool(Scheduler::new(settings, 1, seed));
    let mut limits = Vec::new();
    let mut served = 0;
    for request in FIRST.. {
        let mut actions = pool.arrive(request);
        if let [Action::Start(key)] = actions[..] {
            actions = pool.started(key.0);
        }
        assert!(matches!(actions[0], Action::Assign(..)));
        served += 1;
        pool.finish(request);
        if let Some(Action::Retire(key, Retirement::Served)) = actions.get(1) {
            pool.ended(key.0);
            limits.push(std::mem::take(&mut served));
            if limits.len() == instances {
                break;
            }
        }
    }
    limits
}

#[test]
fn an_instance_retires_with_the_last_request_of_its_limit() {
    let settings = PoolSettings {
        max_requests_per_instance: 3..=3,
        ..settings()
    };
    let mut pool = Pool::new(settings, 1);
    pool.arrive_many(2);
    pool.started(0);
    pool.finish(100);
    let last = [assign(102, 0), retire(0, Retirement::Served)];
    assert_eq!(pool.arrive(102), last);
    assert_eq!(pool.arrive(103), [start(1)]);
    assert_eq!(pool.finish(101), [], "room is of no use to it any more");
    assert_eq!(pool.0.view().retiring, 1);
    assert_eq!(pool.0.view().in_flight, 1, "it finishes what it has");
}

#[test]
fn limits_differ_between_instances_and_stay_in_their_range() {
    let settings = PoolSettings {
        max_requests_per_instance: 10..=20,
        ..settings()
    };
    let drawn = limits(settings.clone(), 1, 60);
    assert!(drawn.iter().all(|limit| (10..=20).contains(limit)));
    let distinct: BTreeSet<_> = drawn.iter().collect();
    assert!(distinct.len() > 5, "only {distinct:?} are drawn");
    assert_ne!(limits(settings.clone(), 2, 60), drawn, "by the seed");
    assert_eq!(limits(settings, 1, 60), drawn, "by nothing else");
}

#[test]
fn an_instance_that_is_outgrown_finishes_what_it_has_and_takes_nothing_more() {
    let mut pool = Pool::warm(settings(), 1, 1);
    assert_eq!(pool.arrive(FIRST), [assign(FIRST, 0)]);
    assert_eq!(pool.outgrown(0), [retire(0, Retirement::Outgrown)]);
    assert_eq!(pool.outgrown(0), [], "once");
    assert_eq!(pool.arrive(FIRST + 1), [start(1)]);
    assert_eq!(pool.0.view().in_flight, 1);
}

#[test]
fn a_pool_that_is_replaced_finishes_what_it_has_and_keeps_nothing() {
    let settings = PoolSettings {
        min_idle: 3,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 1, 3);
    assert_eq!(pool.arrive(FIRST), [assign(FIRST, 2)]);
    let all = [0, 1, 2].map(|instance| retire(instance, Retirement::Replaced));
    assert_eq!(pool.replaced(), all);
    assert_eq!(pool.replaced(), [], "once");
    assert_eq!(pool.0.view().in_flight, 1);
    // A request under way is answered, by an instance that is not kept for the next.
    assert_eq!(pool.arrive(FIRST + 1), [start(3)]);
    assert_eq!(pool.started(3), [assign(FIRST + 1, 3)]);
    pool.finish(FIRST + 1);
    assert_eq!(pool.idle_expired(3), [retire(3, Retirement::Idle)]);
}

#[test]
fn a_request_given_back_does_not_count_towards_the_limit() {
    let settings = PoolSettings {
        max_requests_per_instance: 2..=2,
        ..settings()
    };
    let mut pool = Pool::new(settings, 1);
    pool.arrive(100);
    pool.started(0);
    pool.hold(0, 4);
    pool.give_back(100);
    assert_eq!(pool.let_go(0), [assign(100, 0)]);
    let last = [assign(101, 0), retire(0, Retirement::Served)];
    assert_eq!(pool.arrive(101), last);
}

#[test]
fn a_0_2_component_gets_a_fresh_instance_for_each_request() {
    let mut pool = Pool::new(PoolSettings::of(World::Proxy), 2);
    for instance in 0..3 {
        let request = FIRST + instance;
        let only = [
            assign(request, instance),
            retire(instance, Retirement::Served),
        ];
        assert_eq!(pool.arrive(request), [start(instance)]);
        assert_eq!(pool.started(instance), only);
    }
}

#[test]
fn idle_instances_expire_down_to_the_number_to_be_kept() {
    let settings = PoolSettings {
        min_idle: 2,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 3, 3);
    assert_eq!(pool.idle_expired(1), [retire(1, Retirement::Idle)]);
    assert_eq!(pool.idle_expired(0), []);
    assert_eq!(pool.idle_expired(2), []);
    assert_eq!(pool.0.view().idle, 2);
}

#[test]
fn an_instance_with_a_request_or_work_after_it_does_not_expire() {
    let mut pool = Pool::warm(settings(), 1, 1);
    pool.arrive(100);
    assert_eq!(pool.idle_expired(0), []);
    pool.at_work(0, true);
    pool.finish(100);
    assert_eq!(pool.idle_expired(0), [], "it works on after the answer");
    pool.at_work(0, false);
    assert_eq!(pool.idle_expired(0), [retire(0, Retirement::Idle)]);
}

#[test]
fn an_idle_instance_under_backpressure_is_not_kept_for_the_next_request() {
    let settings = PoolSettings {
        min_idle: 1,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 2, 2);
    pool.hold(1, 1);
    assert_eq!(pool.idle_expired(0), [], "the only one that can serve");
    assert_eq!(pool.idle_expired(1), [retire(1, Retirement::Idle)]);
}

#[test]
fn a_place_that_another_service_needs_is_given_up_by_the_longest_idle_only() {
    let settings = PoolSettings {
        min_idle: 3,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 3, 3);
    pool.arrive(100);
    assert_eq!(pool.evict(), (true, vec![retire(0, Retirement::Evicted)]));
    assert_eq!(pool.evict(), (true, vec![retire(1, Retirement::Evicted)]));
    assert_eq!(pool.evict(), (false, vec![]), "the last has a request");
    pool.finish(100);
    assert_eq!(pool.evict(), (true, vec![retire(2, Retirement::Evicted)]));
}

#[test]
fn the_instance_with_the_fewest_requests_gives_way_unless_it_is_the_last() {
    let settings = PoolSettings {
        max_concurrent_per_instance: 2,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 3, 3);
    pool.arrive_many(5);
    let (gave_way, actions) = pool.give_way();
    assert!(gave_way);
    let [Action::Retire(InstanceKey(fewest), Retirement::GaveWay)] = actions[..] else {
        panic!("{actions:?}");
    };
    assert_eq!(pool.0.in_flight(InstanceKey(fewest)), 1);
    assert!(pool.give_way().0);
    assert_eq!(pool.give_way(), (false, vec![]), "one is left");
    assert_eq!(pool.0.view().in_flight, 5, "they finish what they have");
}

#[test]
fn an_instance_in_which_a_deadline_was_missed_retires() {
    let mut pool = Pool::warm(settings(), 1, 1);
    pool.arrive_many(2);
    assert_eq!(pool.deadline_missed(0), [retire(0, Retirement::Deadline)]);
    assert_eq!(pool.arrive(102), [start(1)]);
    assert_eq!(pool.deadline_missed(0), [], "it is retired once");
    pool.finish(100);
    pool.finish(101);
    assert_eq!(pool.0.view().retiring, 1, "until it has ended");
}

#[test]
fn an_instance_that_ended_leaves_its_place_to_those_that_wait() {
    let settings = PoolSettings {
        max_instances: 1,
        max_concurrent_per_instance: 2,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 1, 1);
    pool.arrive_many(3);
    assert_eq!(pool.ended(0), [start(1)]);
    assert_eq!(pool.0.view().in_flight, 0, "what was in it is over");
    assert_eq!(pool.started(1), [assign(102, 1)]);
}

#[test]
fn a_failed_start_fails_one_request_and_not_the_queue() {
    let mut pool = Pool::new(settings(), 1);
    pool.arrive_many(3);
    assert_eq!(pool.start_failed(0), (Some(100), vec![start(1)]));
    assert_eq!(pool.started(1), [assign(101, 1), assign(102, 1)]);
}

#[test]
fn a_failed_start_that_nobody_waited_for_fails_nobody() {
    let mut pool = Pool::warm(settings(), 2, 1);
    assert_eq!(
        pool.arrive_many(2),
        [assign(100, 0), start(1), assign(101, 0)]
    );
    assert_eq!(pool.start_failed(1), (None, vec![]));
    assert_eq!(pool.0.view().in_flight, 2);
}

#[test]
fn an_instance_that_is_about_to_end_is_given_nothing_more() {
    let settings = PoolSettings {
        max_instances: 2,
        max_concurrent_per_instance: 1,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 2, 2);
    pool.arrive_many(3);
    pool.0.close(InstanceKey(0));
    assert_eq!(pool.finish(101), []);
    assert_eq!(pool.let_go(0), []);
    assert_eq!(pool.finish(100), [assign(102, 1)]);
    assert_eq!(pool.0.view().retiring, 1);
    let retire = Action::Retire(InstanceKey(0), Retirement::Deadline);
    assert_eq!(pool.deadline_missed(0), [retire], "it is more urgent now");
    assert_eq!(pool.deadline_missed(0), [], "that was said");
}

#[test]
fn a_pool_is_busy_while_a_request_waits_or_an_instance_has_something_to_do() {
    let settings = PoolSettings {
        max_instances: 1,
        max_concurrent_per_instance: 1,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 1, 1);
    assert_eq!(pool.0.busy(), 0);
    pool.arrive_many(2);
    assert_eq!(pool.0.busy(), 2);
    assert_eq!(pool.0.place_of(RequestKey(100)), Some(InstanceKey(0)));
    assert_eq!(pool.0.place_of(RequestKey(101)), None);
    pool.at_work(0, true);
    pool.finish(100);
    pool.finish(101);
    assert_eq!(pool.0.busy(), 1, "it works on after the answer");
    pool.at_work(0, false);
    assert_eq!(pool.0.busy(), 0);
}

#[test]
fn reports_that_come_too_late_change_nothing() {
    let mut pool = Pool::warm(settings(), 1, 2);
    pool.arrive_many(2);
    pool.ended(0);
    pool.ended(1);
    let before = pool.0.view();
    for instance in [0, 1, 99] {
        pool.0.close(InstanceKey(instance));
        pool.at_work(instance, true);
        assert_eq!(pool.started(instance), []);
        assert_eq!(pool.start_failed(instance), (None, vec![]));
        assert_eq!(pool.hold(instance, 4), []);
        assert_eq!(pool.let_go(instance), []);
        assert_eq!(pool.idle_expired(instance), []);
        assert_eq!(pool.deadline_missed(instance), []);
        assert_eq!(pool.ended(instance), []);
    }
    for request in [100, 101, 999] {
        assert_eq!(pool.finish(request), []);
        assert_eq!(pool.give_back(request), []);
        assert_eq!(pool.abandon(request), (false, vec![]));
    }
    assert_eq!(pool.0.view(), before);
    assert_eq!(before, PoolView::default());
}

#[test]
fn the_view_counts_each_instance_once_and_each_request() {
    let settings = PoolSettings {
        max_instances: 5,
        max_concurrent_per_instance: 1,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 1, 4);
    pool.idle_expired(0);
    assert_eq!(pool.arrive_many(2), [assign(100, 3), assign(101, 2)]);
    pool.hold(2, 1);
    let quiet = PoolView {
        idle: 1,
        active: 2,
        held: 1,
        retiring: 1,
        in_flight: 2,
        ..PoolView::default()
    };
    assert_eq!(pool.0.view(), quiet);

    assert_eq!(pool.arrive(102), [assign(102, 1)]);
    assert_eq!(pool.arrive(103), [start(4)]);
    let busy = PoolView {
        starting: 1,
        idle: 0,
        active: 3,
        in_flight: 3,
        queued: 1,
        ..quiet
    };
    assert_eq!(pool.0.view(), busy);
}
