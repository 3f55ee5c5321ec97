//! Prints the progress.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(10);

pub(crate) struct Progress {
    started: Instant,
    last: Cell<Instant>,
}

impl Progress {
    pub(crate) fn start() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last: Cell::new(now),
        }
    }

    pub(crate) fn tell(&self, made: u64, all: u64) {
        if made < all && self.last.get().elapsed() < EVERY {
            return;
        }
        self.last.set(Instant::now());
        let seconds = self.started.elapsed().as_secs();
        println!("  {made} of {all} calls after {seconds} s");
    }
}
