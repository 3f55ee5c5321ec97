//! A circuit breaker for services whose instances keep failing.
//!
//! Starting an instance for each request of a service that always fails costs other services too
//! much. So after a number of failures without a success between them the circuit opens: requests
//! fail at once. After a while one request is let through; if it succeeds the circuit closes, if it
//! fails the circuit stays open for twice as long.

use std::time::{Duration, Instant};

/// The number of failed starts in a row that opens the circuit. A start usually fails for a reason
/// that affects the next one as well.
const STARTS: u32 = 3;

/// The number of instances that fail in a row, by a trap or a missed deadline, and open the circuit.
/// Much higher, because a single client can send requests that make a guest trap, and others would
/// pay for it.
const FAILURES: u32 = 50;

const FIRST: Duration = Duration::from_millis(200);

/// The maximum duration of an opening.
const LONGEST: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Circuit {
    state: State,
    failed_starts: u32,
    failures: u32,
    trips: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One request was let through; its outcome is not known yet.
    Probing {
        until: Instant,
    },
}

/// The public state of a circuit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CircuitState {
    /// Requests pass.
    #[default]
    Closed,
    /// Requests are refused for now.
    Open,
    /// One request was let through as a probe.
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

    /// Lets a request pass, or returns the time after which it may be retried.
    pub(crate) fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } if now < until => Err(until - now),
            // The outcome of a probe is unknown if its client goes away. After as long as the circuit
            // was open, another replaces it.
            State::Probing { until } if now < until => Err(until - now),
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Probing {
                    until: now + self.pause(0.5),
                };
                Ok(())
            }
        }
    }

    /// Records a request that was answered by its guest.
    pub(crate) fn succeeded(&mut self) {
        *self = Self::new();
    }

    /// Records an instance that could not be started. Returns true if this opened the circuit.
    pub(crate) fn start_failed(&mut self, now: Instant, chance: f64) -> bool {
        self.failed_starts += 1;
        self.open_if(self.failed_starts >= STARTS, now, chance)
    }

    /// Records an instance that failed. Returns true if this opened the circuit.
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

    /// Returns twice the time of the last opening, spread by a half either way, so that services that
    /// failed together are not retried together. `chance` is from 0 to 1.
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
