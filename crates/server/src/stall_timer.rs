//! A timeout for clients that stop reading or sending.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// A timer that costs nothing while nothing stalls.
#[derive(Debug)]
pub(crate) struct StallTimer {
    timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    armed: bool,
}

// === impl StallTimer ===

impl StallTimer {
    pub(crate) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            timer: None,
            armed: false,
        }
    }

    /// Resets the timer after progress.
    pub(crate) fn restore(&mut self) {
        self.armed = false;
    }

    /// Polls the timer, which starts with the first call after progress.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(self.timeout)));
        if !self.armed {
            // A timeout that the clock cannot represent is none.
            let Some(until) = Instant::now().checked_add(self.timeout) else {
                return Poll::Pending;
            };
            timer.as_mut().reset(until);
            self.armed = true;
        }
        timer.as_mut().poll(cx)
    }
}
