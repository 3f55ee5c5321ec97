//! One timer for all phases of an outgoing request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::EgressError;
use crate::error::said;

/// What was too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Connect,
    FirstByte,
    BetweenBytes,
    Write,
    Total,
    /// Nothing yet: it is time to look whether there is still anything to wait for.
    Look,
}

/// Bounds one phase after the other, and all of them together.
///
/// The timer is made when something first has to wait, and moved from then on: most phases are over
/// without any, and moving it further away costs next to nothing.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    /// The end of it all.
    end: Option<Instant>,
    /// When the present phase is over, and what is late then. A time that the clock cannot tell
    /// is never.
    due: Option<(Instant, Late)>,
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Stopwatch ===

impl Stopwatch {
    /// Starts the time that is for all phases, if it is bounded.
    pub(crate) fn new(total: Option<Duration>) -> Self {
        let end = total.and_then(|total| Instant::now().checked_add(total));
        Self {
            end,
            due: end.map(|end| (end, Late::Total)),
            timer: None,
        }
    }

    /// Begins a phase that may take so long.
    pub(crate) fn start(&mut self, phase: Duration, late: Late) {
        self.set(Instant::now().checked_add(phase), late);
    }

    /// Begins a phase that is to be over by then.
    pub(crate) fn set(&mut self, due: Option<Instant>, late: Late) {
        self.due = match (due, self.end) {
            (Some(due), Some(end)) if end < due => Some((end, Late::Total)),
            (Some(due), _) => Some((due, late)),
            (None, end) => end.map(|end| (end, Late::Total)),
        };
    }

    /// Whether all of the time is over, phase or not.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Ready when the phase has taken too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let Some((due, late)) = self.due else {
            return Poll::Pending;
        };
        let moved = self
            .timer
            .as_ref()
            .is_none_or(|timer| timer.deadline() != due);
        // The timer is a millisecond late; no time at all is over now.
        if moved && due <= Instant::now() {
            return Poll::Ready(late);
        }
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        if moved {
            timer.as_mut().reset(due);
        }
        timer.as_mut().poll(cx).map(|()| late)
    }

    /// Waits for the work of a phase, but no longer than it may take.
    pub(crate) async fn bound<F: Future>(&mut self, work: F) -> Result<F::Output, Late> {
        let mut work = pin!(work);
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => Poll::Ready(Ok(done)),
            Poll::Pending => self.poll(cx).map(Err),
        })
        .await
    }
}

// === impl Late ===

impl From<Late> for EgressError {
    fn from(late: Late) -> Self {
        match late {
            Late::Connect => Self::ConnectTimeout,
            Late::FirstByte => Self::FirstByteTimeout,
            Late::BetweenBytes => Self::BetweenBytesTimeout,
            Late::Write => Self::WriteTimeout,
            Late::Total => Self::TotalTimeout,
            // Looked, and found none.
            Late::Look => {
                let lost = "the connection was closed as it was given the request";
                Self::ConnectionTerminated(said(lost))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    async fn never() {
        std::future::pending().await
    }

    #[tokio::test(start_paused = true)]
    async fn each_phase_has_its_own_time_and_all_of_them_have_one() {
        let mut stopwatch = Stopwatch::new(None);
        stopwatch.start(LONG, Late::Connect);
        stopwatch.bound(tokio::task::yield_now()).await.unwrap();
        stopwatch.start(Duration::ZERO, Late::FirstByte);
        assert_eq!(stopwatch.bound(never()).await, Err(Late::FirstByte));

        let mut stopwatch = Stopwatch::new(Some(LONG / 2));
        stopwatch.start(LONG, Late::Connect);
        assert_eq!(stopwatch.bound(never()).await, Err(Late::Total));
        assert!(stopwatch.is_over());
    }

    #[tokio::test]
    async fn a_time_beyond_what_the_clock_can_tell_is_never() {
        let mut stopwatch = Stopwatch::new(Some(Duration::MAX));
        for ages in [Duration::MAX, Duration::from_nanos(u64::MAX)] {
            stopwatch.start(ages, Late::Connect);
            stopwatch.bound(tokio::task::yield_now()).await.unwrap();
        }
        assert!(!stopwatch.is_over());
    }

    #[tokio::test]
    async fn what_is_there_already_is_never_late() {
        let mut stopwatch = Stopwatch::new(Some(Duration::ZERO));
        stopwatch.start(Duration::ZERO, Late::Connect);
        assert_eq!(stopwatch.bound(async { 1 }).await, Ok(1));
    }
}
