//! How much is measured.

use std::time::Duration;

/// The number and length of rounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    /// A round of requests as fast as they are answered.
    pub(crate) closed: Duration,
    /// A round of requests at fixed times.
    pub(crate) paced: Duration,
    /// The load before the measurement.
    pub(crate) warm_up: Duration,
    /// Starts of each server.
    pub(crate) starts: usize,
    /// Set if all scenarios are measured with traces and the access log, too, and not just the
    /// first.
    pub(crate) all_telemetry: bool,
}

impl Effort {
    pub(crate) fn of(quick: bool) -> Self {
        match quick {
            true => Self {
                rounds: 3,
                closed: Duration::from_millis(200),
                paced: Duration::from_millis(300),
                warm_up: Duration::from_millis(150),
                starts: 3,
                all_telemetry: false,
            },
            false => Self {
                rounds: 5,
                closed: Duration::from_millis(700),
                paced: Duration::from_secs(1),
                warm_up: Duration::from_millis(400),
                starts: 10,
                all_telemetry: true,
            },
        }
    }
}
