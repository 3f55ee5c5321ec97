//! What rounds of a measurement come to.

use std::time::Duration;

/// The rounds of one contestant.
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

    /// The time that counts.
    pub(crate) fn median(&self) -> Duration {
        let mut rounds = self.rounds.clone();
        rounds.sort();
        rounds[rounds.len() / 2]
    }
}

/// Whether a miss is to fail the run.
pub(crate) fn asserted() -> bool {
    std::env::args().any(|argument| argument == "--assert")
}

/// How a target came out, in words.
pub(crate) fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "MISSED" }
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
