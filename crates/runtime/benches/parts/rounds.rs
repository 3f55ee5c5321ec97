//! Evaluation of measurement rounds.

use std::time::Duration;

use headwater_runtime::measure;
use rustix::time::{ClockId, clock_gettime};

pub(crate) struct Rounds {
    pub(crate) name: &'static str,
    rounds: Vec<Duration>,
}

impl Rounds {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            name,
            rounds: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, round: Duration) {
        self.rounds.push(round);
    }

    /// Returns the median time of a round, in µs.
    pub(crate) fn median(&self) -> f64 {
        median(self.rounds.iter().map(Duration::as_secs_f64)) * 1e6
    }

    /// Returns the median of `compare` over pairs of rounds of both contestants: a machine that is
    /// slow for a while is slow for both.
    pub(crate) fn beside(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> f64 {
        let pairs = self.rounds.iter().zip(&other.rounds);
        median(pairs.map(|(one, other)| compare(one.as_secs_f64(), other.as_secs_f64())))
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures a region by the thread's CPU time, or by callgrind: see [`region_begins`].
#[derive(Debug)]
pub(crate) struct Stopwatch(Duration);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(region_begins())
    }

    pub(crate) fn stop(self) -> Duration {
        region_ends(self.0)
    }
}

/// The first function of a region. `cargo xtask bench --check` tells callgrind to set its counts to zero when it
/// enters this function, and to write them to a file when it enters [`region_ends`]. So both keep their names, and
/// are not inlined.
#[inline(never)]
fn region_begins() -> Duration {
    thread_cpu()
}

/// The first function after a region. It differs from [`region_begins`], which the compiler would otherwise merge it
/// with.
#[inline(never)]
fn region_ends(began: Duration) -> Duration {
    thread_cpu() - began
}

/// Returns the thread's CPU time, unless [`measure::clocks_off`] was called.
fn thread_cpu() -> Duration {
    match measure::clocks_are_off() {
        true => Duration::ZERO,
        false => cpu(ClockId::ThreadCPUTime),
    }
}

/// Returns the CPU time by one of the system's clocks, which do not count other processes.
pub(crate) fn cpu(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    Duration::new(
        u64::try_from(now.tv_sec).unwrap_or_default(),
        u32::try_from(now.tv_nsec).unwrap_or_default(),
    )
}

pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}
