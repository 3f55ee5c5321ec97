use std::time::Duration;

use super::{InstanceKey, Pool, settings};
use crate::pool::instance_stats::{InstanceState, InstanceView};
use crate::pool::settings::PoolSettings;

/// Returns the views, with ages in seconds equal to the numbers.
fn instances(pool: &Pool) -> Vec<InstanceView> {
    pool.0
        .instances(|InstanceKey(number)| Duration::from_secs(number))
}

fn states(pool: &Pool) -> Vec<InstanceState> {
    let instances = instances(pool);
    instances.iter().map(|instance| instance.state).collect()
}

#[test]
fn each_instance_is_seen_with_what_it_has_and_may_still_have() {
    let mut pool = Pool::warm(settings(), 2, 2);
    pool.arrive_many(3);
    pool.hold(1, 2);
    let seen: Vec<_> = instances(&pool)
        .iter()
        .map(|seen| (seen.number, seen.in_flight, seen.held, seen.age.as_secs()))
        .collect();
    let mut in_flight: Vec<_> = seen.iter().map(|seen| seen.1).collect();
    in_flight.sort_unstable();
    assert_eq!(in_flight, [1, 2]);
    assert_eq!((seen[0].0, seen[0].2, seen[0].3), (0, false, 0));
    assert_eq!((seen[1].0, seen[1].2, seen[1].3), (1, true, 1));

    let total = 1_000 * 2;
    let left: usize = instances(&pool).iter().map(|seen| seen.remaining).sum();
    let given_to_warm_up = total - 3 - left;
    assert!(given_to_warm_up > 0 && left < total - 3, "{left}");
}

#[test]
fn an_instance_starts_works_idles_and_retires() {
    let mut pool = Pool::new(
        PoolSettings {
            max_requests_per_instance: 2..=2,
            ..settings()
        },
        1,
    );
    pool.arrive(0);
    assert_eq!(states(&pool), [InstanceState::Starting]);
    pool.started(0);
    assert_eq!(states(&pool), [InstanceState::Active]);
    pool.finish(0);
    pool.at_work(0, false);
    assert_eq!(states(&pool), [InstanceState::Idle]);
    pool.arrive(1);
    assert_eq!(states(&pool), [InstanceState::Retiring]);
    assert_eq!(instances(&pool)[0].remaining, 0);
    pool.ended(0);
    assert_eq!(states(&pool), []);
}

#[test]
fn the_view_of_the_pool_is_the_sum_of_its_instances() {
    let mut pool = Pool::warm(settings(), 2, 3);
    pool.arrive_many(5);
    let (view, instances) = (pool.0.view(), instances(&pool));
    let count = |state| instances.iter().filter(|seen| seen.state == state).count();
    assert_eq!(view.starting, count(InstanceState::Starting));
    assert_eq!(view.idle, count(InstanceState::Idle));
    assert_eq!(view.active, count(InstanceState::Active));
    assert_eq!(view.retiring, count(InstanceState::Retiring));
    let in_flight: usize = instances.iter().map(|seen| seen.in_flight).sum();
    assert_eq!((view.in_flight, in_flight), (5, 5));
}
