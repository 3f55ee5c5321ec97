//! The placement of requests: into an instance, into the queue, or refused.

use super::{FIRST, Pool, assign, refuse, settings, start};
use crate::pool::settings::PoolSettings;
use crate::threads::ThreadKey;

fn narrow() -> PoolSettings {
    PoolSettings {
        max_instances: 1,
        max_concurrent_per_instance: 1,
        ..settings()
    }
}

#[test]
fn a_warm_instance_with_room_is_preferred_to_a_new_one() {
    let mut pool = Pool::warm(settings(), 1, 1);
    for request in FIRST..FIRST + 4 {
        assert_eq!(pool.arrive(request), [assign(request, 0)]);
    }
    assert_eq!(pool.arrive(FIRST + 4), [start(1)], "the first is full");
}

#[test]
fn one_more_instance_is_started_per_thread_while_requests_would_share() {
    let mut pool = Pool::warm(settings(), 3, 1);
    assert_eq!(pool.arrive(100), [assign(100, 0)]);
    assert_eq!(pool.arrive(101), [start(1), assign(101, 0)]);
    assert_eq!(pool.arrive(102), [start(2), assign(102, 0)]);
    assert_eq!(pool.arrive(103), [assign(103, 0)]);
}

#[test]
fn an_instance_of_its_own_is_not_started_beyond_the_bound() {
    let settings = PoolSettings {
        max_instances: 1,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 3, 1);
    assert_eq!(pool.arrive_many(2), [assign(100, 0), assign(101, 0)]);
}

#[test]
fn requests_are_spread_over_the_threads() {
    let mut pool = Pool::warm(settings(), 2, 2);
    assert_eq!(
        pool.arrive_many(4),
        [
            assign(100, 1),
            assign(101, 0),
            assign(102, 1),
            assign(103, 0)
        ]
    );
    pool.finish(101);
    pool.finish(103);
    assert_eq!(pool.arrive(104), [assign(104, 0)], "the less loaded one");
}

#[test]
fn requests_of_a_serving_thread_go_to_its_own_instance_unless_it_has_many_more() {
    let settings = PoolSettings {
        max_concurrent_per_instance: 64,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 2, 2);
    pool.on_threads(2);
    for request in 100..=116 {
        assert_eq!(pool.arrive_on(0, request), [assign(request, 0)]);
    }
    assert_eq!(pool.arrive_on(0, 117), [assign(117, 1)], "the least loaded");
    assert_eq!(pool.arrive_on(0, 118), [assign(118, 0)]);
    assert_eq!(pool.arrive_on(1, 119), [assign(119, 1)]);
    assert_eq!(
        pool.arrive_on(2, 120),
        [assign(120, 1)],
        "it has no instance"
    );
}

#[test]
fn a_serving_thread_gets_an_instance_at_its_first_request_also_if_that_of_another_is_idle() {
    let mut pool = Pool::warm(settings(), 2, 1);
    pool.on_threads(1);
    assert_eq!(
        pool.arrive_on(0, 100),
        [assign(100, 0)],
        "it is the thread's own"
    );
    pool.finish(100);
    assert_eq!(pool.arrive_on(1, 101), [start(1), assign(101, 0)]);
    assert_eq!(pool.arrive_on(1, 102), [assign(102, 0)], "it is starting");
}

#[test]
fn the_load_of_a_thread_is_the_number_of_its_instances_that_take_requests() {
    let mut pool = Pool::warm(settings(), 2, 2);
    assert_eq!(pool.0.load(ThreadKey(1)), 0);
    pool.on_threads(2);
    assert_eq!(pool.0.load(ThreadKey(1)), 1);
    pool.outgrown(1);
    assert_eq!(pool.0.load(ThreadKey(1)), 0);

    let alone = PoolSettings {
        max_concurrent_per_instance: 1,
        ..settings()
    };
    let mut pool = Pool::warm(alone, 1, 1);
    pool.on_threads(1);
    assert_eq!(pool.0.load(ThreadKey(0)), 0, "no instance takes a second");
}

#[test]
fn beyond_the_threads_the_newest_instances_are_taken_first() {
    let mut pool = Pool::warm(settings(), 1, 3);
    let expected: Vec<_> = (0..12).map(|n| assign(FIRST + n, 2 - n / 4)).collect();
    assert_eq!(pool.arrive_many(12), expected);

    let mut pool = Pool::warm(settings(), 2, 3);
    pool.arrive_many(7);
    assert_eq!(pool.0.view().idle, 1, "the oldest has nothing yet");
    assert_eq!(pool.arrive(107), [assign(107, 0)], "the newest is full");
}

#[test]
fn no_more_instances_are_started_than_the_bound_allows() {
    let settings = PoolSettings {
        max_instances: 2,
        max_concurrent_per_instance: 1,
        ..settings()
    };
    let mut pool = Pool::new(settings, 8);
    assert_eq!(pool.arrive_many(5), [start(0), start(1)]);
}

#[test]
fn those_that_wait_share_the_instance_that_is_started_for_them() {
    let mut pool = Pool::new(settings(), 1);
    assert_eq!(pool.arrive_many(4), [start(0)]);
    assert_eq!(pool.arrive(104), [start(1)], "one takes four");
    let expected: Vec<_> = (100..104).map(|request| assign(request, 0)).collect();
    assert_eq!(pool.started(0), expected);
    assert_eq!(pool.started(1), [assign(104, 1)]);
}

#[test]
fn the_queue_is_served_in_the_order_of_arrival() {
    let mut pool = Pool::new(narrow(), 1);
    pool.arrive_many(3);
    assert_eq!(pool.started(0), [assign(100, 0)]);
    assert_eq!(pool.finish(100), [assign(101, 0)]);
    assert_eq!(pool.arrive(103), [], "it does not overtake");
    assert_eq!(pool.finish(101), [assign(102, 0)]);
    assert_eq!(pool.finish(102), [assign(103, 0)]);
}

#[test]
fn a_request_beyond_the_queue_is_refused() {
    let settings = PoolSettings {
        max_queue: 2,
        ..narrow()
    };
    let mut pool = Pool::warm(settings, 1, 1);
    assert_eq!(pool.arrive_many(3), [assign(100, 0)], "two wait");
    assert_eq!(pool.arrive(103), [refuse(103)]);
    assert_eq!(pool.finish(100), [assign(101, 0)]);
    assert_eq!(pool.arrive(104), [], "there is room in the queue again");
    assert_eq!(pool.arrive(105), [refuse(105)]);
}

#[test]
fn an_instance_under_backpressure_is_given_nothing_and_others_serve() {
    let mut pool = Pool::warm(settings(), 1, 2);
    assert_eq!(pool.hold(1, 4), []);
    assert_eq!(pool.arrive(100), [assign(100, 0)]);
    assert_eq!(pool.hold(0, 4), []);
    assert_eq!(pool.arrive(101), [start(2)]);
    assert_eq!(pool.started(2), [assign(101, 2)]);
    assert_eq!(pool.finish(100), [], "room is no invitation");
}

#[test]
fn requests_that_wait_are_served_at_once_when_the_guest_lets_go() {
    let settings = PoolSettings {
        max_instances: 1,
        ..settings()
    };
    let mut pool = Pool::warm(settings, 1, 1);
    pool.hold(0, 1);
    assert_eq!(pool.arrive_many(2), []);
    assert_eq!(pool.let_go(0), [assign(100, 0), assign(101, 0)]);
}

#[test]
fn a_guest_seen_to_hold_at_one_gets_an_instance_per_waiting_request() {
    let mut pool = Pool::warm(settings(), 1, 1);
    assert_eq!(pool.arrive(100), [assign(100, 0)]);
    assert_eq!(pool.hold(0, 1), []);
    assert_eq!(pool.arrive(101), [start(1)]);
    assert_eq!(pool.arrive(102), [start(2)]);
    assert_eq!(pool.arrive(103), [start(3)]);
    assert_eq!(pool.arrive(104), [], "up to the bound");
}

#[test]
fn a_guest_that_takes_more_again_gets_fewer_instances_again() {
    let mut pool = Pool::warm(settings(), 1, 1);
    pool.hold(0, 1);
    pool.let_go(0);
    pool.arrive_many(3);
    // Three were in it, without backpressure.
    pool.finish(100);
    pool.hold(0, 4);
    let waiting: Vec<_> = (200..204)
        .flat_map(|request| pool.arrive(request))
        .collect();
    assert_eq!(waiting, [start(1), start(2)], "three to each");
}

#[test]
fn a_hold_that_is_first_seen_with_requests_waiting_starts_what_they_need() {
    let mut pool = Pool::warm(settings(), 1, 1);
    pool.hold(0, 4);
    assert_eq!(pool.arrive_many(3), [start(1)]);
    assert_eq!(pool.hold(0, 1), [start(2), start(3)]);
}

#[test]
fn a_request_given_back_goes_before_those_that_wait() {
    let settings = PoolSettings {
        max_concurrent_per_instance: 2,
        ..narrow()
    };
    let mut pool = Pool::warm(settings, 1, 1);
    pool.arrive_many(3);
    assert_eq!(pool.hold(0, 1), []);
    assert_eq!(pool.give_back(101), []);
    assert_eq!(pool.let_go(0), [assign(101, 0)]);
    assert_eq!(pool.finish(100), [assign(102, 0)]);
}

#[test]
fn requests_given_back_keep_their_order_of_arrival() {
    for order in [
        [100, 101, 102, 103],
        [103, 102, 101, 100],
        [101, 103, 100, 102],
    ] {
        let settings = PoolSettings {
            max_instances: 2,
            ..settings()
        };
        // Alternately to both instances.
        let mut pool = Pool::warm(settings, 2, 2);
        pool.arrive_many(4);
        pool.hold(0, 4);
        pool.hold(1, 4);
        assert_eq!(pool.arrive(104), []);
        for request in order {
            assert_eq!(pool.give_back(request), []);
        }
        let expected: Vec<_> = (100..104).map(|request| assign(request, 0)).collect();
        assert_eq!(pool.let_go(0), expected, "given back as {order:?}");
        assert_eq!(pool.let_go(1), [assign(104, 1)]);
    }
}

#[test]
fn a_request_given_back_is_let_in_though_the_queue_is_full() {
    let settings = PoolSettings {
        max_queue: 1,
        ..narrow()
    };
    let mut pool = Pool::warm(settings, 1, 1);
    pool.arrive_many(2);
    pool.hold(0, 1);
    assert_eq!(pool.give_back(100), []);
    assert_eq!(pool.arrive(102), [refuse(102)]);
    assert_eq!(pool.let_go(0), [assign(100, 0)]);
    assert_eq!(pool.finish(100), [assign(101, 0)]);
}

#[test]
fn what_an_ending_instance_gives_back_does_not_come_to_it_again() {
    let mut pool = Pool::warm(settings(), 2, 2);
    assert_eq!(pool.arrive_many(2), [assign(100, 1), assign(101, 0)]);
    assert_eq!(pool.give_back(100), [assign(100, 0)]);
    assert_eq!(pool.ended(1), []);

    let mut pool = Pool::warm(narrow(), 1, 1);
    pool.arrive_many(2);
    assert_eq!(pool.give_back(100), [], "nor does another");
    assert_eq!(pool.ended(0), [start(1)]);
    assert_eq!(pool.started(1), [assign(100, 1)]);
}

#[test]
fn a_request_abandoned_in_the_queue_leaves_it() {
    let mut pool = Pool::warm(narrow(), 1, 1);
    pool.arrive_many(3);
    assert_eq!(pool.abandon(101), (true, vec![]));
    assert_eq!(pool.finish(100), [assign(102, 0)]);
    assert_eq!(pool.0.view().queued, 0);
}

#[test]
fn a_request_abandoned_in_an_instance_leaves_its_room_to_those_that_wait() {
    let mut pool = Pool::warm(narrow(), 1, 1);
    pool.arrive_many(2);
    assert_eq!(pool.abandon(100), (false, vec![assign(101, 0)]));
    assert_eq!(pool.give_back(100), [], "too late: nobody waits for it");
    assert_eq!(pool.finish(100), []);
    assert_eq!(pool.0.view().in_flight, 1);
}
