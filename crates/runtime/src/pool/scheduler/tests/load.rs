//! The inputs and results of a simulation.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::pool::settings::PoolSettings;

/// Virtual microseconds.
pub(super) type Time = u64;

/// The behaviour of clients and guests. Rates are per thousand.
#[derive(Clone)]
pub(super) struct Profile {
    pub(super) settings: PoolSettings,
    pub(super) requests: usize,
    pub(super) gap: Range<Time>,
    pub(super) start: Range<Time>,
    pub(super) service: Range<Time>,
    /// Work in the instance after each request.
    pub(super) after: Range<Time>,
    pub(super) idle_timeout: Time,
    /// The time in which a request must be answered.
    pub(super) deadline: Time,
    pub(super) queue_timeout: Time,
    pub(super) backpressure: Backpressure,
    pub(super) starts_fail: u64,
    pub(super) requests_trap: u64,
    pub(super) requests_hang: u64,
    pub(super) clients_leave: u64,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Backpressure {
    Never,
    /// While this many requests run.
    At(usize),
    /// For a while, after some of the requests that it starts.
    NowAndThen,
    /// After its first request, for ever.
    ForEver,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    outcomes: BTreeMap<Outcome, usize>,
    pub(super) given_back: usize,
}

impl Tally {
    pub(super) fn new(outcomes: impl Iterator<Item = Outcome>, given_back: usize) -> Self {
        let mut tally = Self {
            given_back,
            ..Self::default()
        };
        for outcome in outcomes {
            *tally.outcomes.entry(outcome).or_default() += 1;
        }
        tally
    }

    pub(super) fn of(&self, outcome: Outcome) -> usize {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Outcome {
    Answered,
    FailedWithInstance,
    FailedWithStart,
    DeadlineMissed,
    QueueFull,
    QueueTimeout,
    Abandoned,
}

/// A source of random numbers, deterministic for a seed.
pub(super) struct Dice(fastrand::Rng);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    pub(super) fn within(&mut self, range: &Range<Time>) -> Time {
        self.0.u64(range.clone())
    }

    pub(super) fn happens(&mut self, per_thousand: u64) -> bool {
        self.0.u64(0..1_000) < per_thousand
    }
}
