//! Whether a service whose instances keep failing is tried again.
//!
//! Starting an instance for each request of a service that cannot serve any costs its neighbours more
//! than it gains. So after a number of failures without a success between them the circuit opens:
//! requests are answered at once that the service is not available. After a while one request is let
//! through; with its success the circuit closes, with its failure it stays open for twice as long.

use std::time::{Duration, Instant};

/// Starts that fail in a row until the circuit opens. A start fails for reasons that the next one
/// meets as well.
const STARTS: u32 = 3;

/// Instances that fail in a row, by a trap or beyond a deadline, until the circuit opens. Far more,
/// because a single client can send requests that make a guest trap, and others would pay for it.
const FAILURES: u32 = 50;

/// For how long the circuit opens first.
const FIRST: Duration = Duration::from_millis(200);

/// For how long it opens at the most.
const LONGEST: Duration = Duration::from_secs(30);

/// The circuit of one service.
#[derive(Debug)]
pub(crate) struct Circuit {
    state: State,
    failed_starts: u32,
    failures: u32,
    /// How often it opened since the last success.
    trips: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One request was let through, and its outcome is awaited.
    Probing {
        until: Instant,
    },
}

/// What is seen of a circuit from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CircuitState {
    /// Requests pass.
    #[default]
    Closed,
    /// Requests are refused, for now.
    Open,
    /// One request was let through, to see.
    Probing,
}

impl Circuit {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Closed,
            failed_starts: 0,
            failures: 0,
            trips: 0,
        }
    }

    /// Whether a request may pass; if not, when it may come again.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now < until => Err(until - now),
            // A probe whose outcome is not heard of, because its client went away, gives way to
            // another after as long as the circuit was open.
            State::Probing { until } if now < until => Err(until - now),
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Probing {
                    until: now + self.pause(0.5),
                };
                Ok(())
            }
        }
    }

    /// A request was answered by its guest.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// An instance could not be started. Says whether the circuit opened by it.
    pub(crate) fn start_failed(&mut self, now: Instant, chance: f64) -> bool {
        self.failed_starts += 1;
        self.open_if(self.failed_starts >= STARTS, now, chance)
    }

    /// An instance failed. Says whether the circuit opened by it.
    pub(crate) fn failed(&mut self, now: Instant, chance: f64) -> bool {
        self.failures += 1;
        self.open_if(self.failures >= FAILURES, now, chance)
    }

    pub(crate) fn state(&self) -> CircuitState {
        match self.state {
            State::Closed => CircuitState::Closed,
            State::Open { .. } => CircuitState::Open,
            State::Probing { .. } => CircuitState::Probing,
        }
    }

    fn open_if(&mut self, tripped: bool, now: Instant, chance: f64) -> bool {
        let opens = match self.state {
            State::Closed => tripped,
            State::Probing { .. } => true,
            State::Open { .. } => false,
        };
        if !opens {
            return false;
        }
        self.trips += 1;
        self.state = State::Open {
            until: now + self.pause(chance),
        };
        true
    }

    /// Twice as long each time, and spread by a half either way, so that services which failed
    /// together are not tried together. `chance` is from 0 to 1.
    fn pause(&self, chance: f64) -> Duration {
        let doublings = self.trips.saturating_sub(1).min(16);
        FIRST
            .saturating_mul(1 << doublings)
            .min(LONGEST)
            .mul_f64(0.5 + chance.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: f64 = 0.5;

    fn opened(circuit: &mut Circuit, now: Instant) -> Duration {
        while !circuit.start_failed(now, EVEN) {}
        circuit.admit(now).unwrap_err()
    }

    #[test]
    fn a_few_failures_change_nothing() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        for _ in 1..STARTS {
            assert!(!circuit.start_failed(now, EVEN));
        }
        for _ in 1..FAILURES {
            assert!(!circuit.failed(now, EVEN));
        }
        assert_eq!(circuit.admit(now), Ok(()));
    }

    #[test]
    fn a_success_between_failures_starts_the_count_anew() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        for _ in 0..10 {
            for _ in 1..FAILURES {
                assert!(!circuit.failed(now, EVEN));
            }
            circuit.succeeded();
        }
        assert_eq!(circuit.state(), CircuitState::Closed);
    }

    #[test]
    fn an_open_circuit_refuses_until_its_time_and_then_lets_one_through() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        assert_eq!(opened(&mut circuit, now), FIRST);
        let later = now + FIRST;
        assert_eq!(circuit.admit(later), Ok(()));
        assert!(circuit.admit(later).is_err(), "one probe at a time");
        circuit.succeeded();
        assert_eq!(circuit.admit(later), Ok(()));
        assert_eq!(circuit.admit(later), Ok(()));
    }

    #[test]
    fn each_probe_that_fails_doubles_the_pause_up_to_the_longest() {
        let (mut circuit, mut now) = (Circuit::new(), Instant::now());
        let mut pause = opened(&mut circuit, now);
        for _ in 0..20 {
            now += pause;
            assert_eq!(circuit.admit(now), Ok(()));
            assert!(circuit.failed(now, EVEN));
            let next = circuit.admit(now).unwrap_err();
            assert_eq!(next, (pause * 2).min(LONGEST));
            pause = next;
        }
        assert_eq!(pause, LONGEST);
    }

    #[test]
    fn a_probe_that_nobody_hears_of_is_followed_by_another() {
        let (mut circuit, now) = (Circuit::new(), Instant::now());
        let mut now = now + opened(&mut circuit, now);
        assert_eq!(circuit.admit(now), Ok(()));
        now += circuit.admit(now).unwrap_err();
        assert_eq!(circuit.admit(now), Ok(()));
    }

    #[test]
    fn chance_spreads_the_pause_by_a_half_either_way() {
        for (chance, least, most) in [(0.0, 0.5, 0.5), (1.0, 1.5, 1.5), (7.0, 1.5, 1.5)] {
            let (mut circuit, now) = (Circuit::new(), Instant::now());
            while !circuit.start_failed(now, chance) {}
            let pause = circuit.admit(now).unwrap_err();
            assert!(pause >= FIRST.mul_f64(least) && pause <= FIRST.mul_f64(most));
        }
    }
}
