//! Detects that a guest has come to rest after a poll of its instance.

use std::time::Duration;

use crate::engine::EPOCH_TICK;
use crate::meter::Mark;

/// The number of polls in a row that count as one. Some runtimes yield in the middle of the guest's
/// step: Rust's does when a task was spawned.
const YIELDS: u32 = 3;

/// The CPU time after which a guest that is still computing is assumed not to trap. A longer wait
/// would delay guests that compute after their response.
const LONG: Duration = EPOCH_TICK;

/// Decides after which polls the guest's output is passed on: the guest may still trap in what it is
/// doing.
#[derive(Debug, Default)]
pub(super) struct Rest {
    yields: u32,
    /// The time that the guest has computed since a tick first interrupted it.
    computing: Option<Duration>,
}

pub(super) struct Begun(Option<Mark>);

#[derive(Debug, Clone, Copy)]
pub(super) struct Polled {
    /// True if there is more to do at once.
    pub(super) woken: bool,
    pub(super) interrupted: bool,
}

impl Rest {
    /// Begins a poll. It must end on the same thread.
    pub(super) fn begin(&self) -> Begun {
        Begun(self.computing.map(|_| Mark::of_thread()))
    }

    pub(super) fn has_come(&mut self, Begun(mark): Begun, polled: Polled) -> bool {
        let computed = mark.map_or(Duration::ZERO, |mark| Mark::of_thread().since(mark));
        self.has_come_after(computed, polled)
    }

    fn has_come_after(&mut self, computed: Duration, polled: Polled) -> bool {
        if polled.interrupted {
            let computing = self.computing.unwrap_or_default() + computed;
            self.computing = Some(computing);
            return computing >= LONG;
        }
        self.computing = None;
        if polled.woken && self.yields < YIELDS {
            self.yields += 1;
            return false;
        }
        self.yields = 0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLLED: Polled = Polled {
        woken: false,
        interrupted: false,
    };

    #[test]
    fn a_guest_that_yields_has_come_to_rest_when_it_yields_no_more_or_too_often() {
        let woken = Polled {
            woken: true,
            ..POLLED
        };
        let mut rest = Rest::default();
        assert!(rest.has_come_after(Duration::ZERO, POLLED));
        assert!(!rest.has_come_after(Duration::ZERO, woken));
        assert!(rest.has_come_after(Duration::ZERO, POLLED));
        for _ in 0..2 {
            for _ in 0..YIELDS {
                assert!(!rest.has_come_after(Duration::ZERO, woken));
            }
            assert!(rest.has_come_after(Duration::ZERO, woken));
        }
    }

    #[test]
    fn a_guest_that_computes_is_taken_to_be_well_after_a_tick_of_cpu_time() {
        let interrupted = Polled {
            interrupted: true,
            ..POLLED
        };
        let mut rest = Rest::default();
        assert!(!rest.has_come_after(Duration::ZERO, interrupted));
        // Other threads had the processor.
        for _ in 0..9 {
            assert!(!rest.has_come_after(LONG / 10, interrupted));
        }
        for _ in 0..3 {
            assert!(rest.has_come_after(LONG / 10, interrupted));
        }
        assert!(rest.has_come_after(Duration::ZERO, POLLED));
        assert!(!rest.has_come_after(Duration::ZERO, interrupted));
    }
}
