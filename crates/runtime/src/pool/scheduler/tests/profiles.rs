//! The load profiles of the simulation, and the expected results of each.

use super::load::{Backpressure, Outcome, Profile, Tally};
use super::simulation::Simulation;
use super::{World, settings};
use crate::pool::settings::PoolSettings;

/// Well-behaved guests, with room for all requests.
fn kind() -> Profile {
    Profile {
        settings: PoolSettings {
            max_instances: 8,
            min_idle: 2,
            max_requests_per_instance: 75..=100,
            max_queue: 50,
            ..settings()
        },
        requests: 2_000,
        gap: 0..40,
        start: 50..150,
        service: 10..400,
        after: 1..50,
        idle_timeout: 2_000,
        deadline: 20_000,
        queue_timeout: 10_000,
        backpressure: Backpressure::Never,
        starts_fail: 0,
        requests_trap: 0,
        requests_hang: 0,
        clients_leave: 0,
    }
}

fn run(profile: &Profile) -> Vec<Tally> {
    (0..3)
        .map(|seed| Simulation::new(profile.clone(), seed).run())
        .collect()
}

fn answered(tally: &Tally) -> usize {
    tally.of(Outcome::Answered)
}

#[test]
fn the_simulation_is_the_same_each_time() {
    let profile = everything();
    assert_eq!(run(&profile), run(&profile));
}

#[test]
fn kind_guests_answer_everyone() {
    for tally in run(&kind()) {
        assert_eq!(answered(&tally), 2_000, "{tally:?}");
    }
}

#[test]
fn a_fresh_instance_for_each_request_answers_everyone() {
    let profile = Profile {
        settings: PoolSettings {
            max_instances: 40,
            ..PoolSettings::of(World::Proxy)
        },
        ..kind()
    };
    for tally in run(&profile) {
        assert_eq!(answered(&tally), 2_000, "{tally:?}");
    }
}

#[test]
fn overload_is_refused_and_the_rest_is_answered() {
    let profile = Profile {
        gap: 0..4,
        queue_timeout: 150,
        ..kind()
    };
    for tally in run(&profile) {
        assert!(tally.of(Outcome::QueueFull) > 100, "{tally:?}");
        assert!(tally.of(Outcome::QueueTimeout) > 100, "{tally:?}");
        assert!(answered(&tally) > 200, "{tally:?}");
    }
}

#[test]
fn guests_that_hold_at_one_request_answer_everyone_by_more_instances() {
    let profile = Profile {
        backpressure: Backpressure::At(1),
        gap: 0..120,
        ..kind()
    };
    for tally in run(&profile) {
        assert_eq!(answered(&tally), 2_000, "{tally:?}");
        assert!(tally.given_back > 0, "{tally:?}");
    }
}

#[test]
fn guests_that_hold_now_and_then_answer_everyone() {
    let profile = Profile {
        backpressure: Backpressure::NowAndThen,
        ..kind()
    };
    for tally in run(&profile) {
        assert_eq!(answered(&tally), 2_000, "{tally:?}");
        assert!(tally.given_back > 0, "{tally:?}");
    }
}

#[test]
fn guests_that_never_let_go_starve_only_their_own_instances() {
    let profile = Profile {
        backpressure: Backpressure::ForEver,
        gap: 0..2_000,
        ..kind()
    };
    for tally in run(&profile) {
        assert_eq!(answered(&tally), 2_000, "{tally:?}");
    }
}

#[test]
fn a_trap_fails_what_had_started_and_nothing_else() {
    let profile = Profile {
        requests_trap: 30,
        ..kind()
    };
    for tally in run(&profile) {
        let failed = tally.of(Outcome::FailedWithInstance);
        assert!(failed > 20, "{tally:?}");
        assert_eq!(answered(&tally) + failed, 2_000, "{tally:?}");
        assert!(tally.given_back > 0, "{tally:?}");
    }
}

#[test]
fn a_failed_start_fails_one_request_at_most() {
    let profile = Profile {
        settings: PoolSettings {
            max_requests_per_instance: 5..=10,
            ..kind().settings
        },
        starts_fail: 300,
        ..kind()
    };
    for tally in run(&profile) {
        let failed = tally.of(Outcome::FailedWithStart);
        assert!((10..400).contains(&failed), "{tally:?}");
        assert_eq!(answered(&tally) + failed, 2_000, "{tally:?}");
    }
}

#[test]
fn requests_that_hang_end_with_their_deadline() {
    let profile = Profile {
        requests_hang: 20,
        deadline: 2_000,
        ..kind()
    };
    for tally in run(&profile) {
        let missed = tally.of(Outcome::DeadlineMissed);
        assert!(missed > 20, "{tally:?}");
        let failed = tally.of(Outcome::FailedWithInstance);
        assert_eq!(answered(&tally) + missed + failed, 2_000, "{tally:?}");
    }
}

#[test]
fn clients_that_leave_free_their_places() {
    let profile = Profile {
        clients_leave: 500,
        gap: 0..20,
        ..kind()
    };
    for tally in run(&profile) {
        assert!(tally.of(Outcome::Abandoned) > 200, "{tally:?}");
        assert!(answered(&tally) > 1_000, "{tally:?}");
    }
}

/// Everything that can go wrong, at once and under load.
fn everything() -> Profile {
    Profile {
        settings: PoolSettings {
            max_requests_per_instance: 15..=25,
            max_queue: 30,
            ..kind().settings
        },
        gap: 0..10,
        deadline: 2_000,
        queue_timeout: 250,
        backpressure: Backpressure::NowAndThen,
        starts_fail: 100,
        requests_trap: 5,
        requests_hang: 5,
        clients_leave: 100,
        ..kind()
    }
}

#[test]
fn everything_at_once_leaves_nothing_behind() {
    for tally in run(&everything()) {
        for outcome in [
            Outcome::Answered,
            Outcome::FailedWithInstance,
            Outcome::FailedWithStart,
            Outcome::DeadlineMissed,
            Outcome::QueueFull,
            Outcome::QueueTimeout,
            Outcome::Abandoned,
        ] {
            assert!(tally.of(outcome) > 0, "no {outcome:?}: {tally:?}");
        }
        assert!(tally.given_back > 0, "{tally:?}");
    }
}
