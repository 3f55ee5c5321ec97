//! One timer for all phases of an outgoing request.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::EgressError;
use crate::error::said;

/// The timeout that was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    Connect,
    FirstByte,
    BetweenBytes,
    Write,
    Total,
    /// None: it is time to check whether the request is lost.
    Look,
}

/// Limits each phase, and all of them together.
///
/// The timer is made at the first wait, and then moved: most phases end without a wait, and moving
/// the timer further away costs next to nothing.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    end: Option<Instant>,
    /// The deadline of the current phase, and the timeout that it stands for. A time that the clock
    /// cannot represent is never.
    due: Option<(Instant, Late)>,
    timer: Option<Pin<Box<Sleep>>>,
}

// === impl Stopwatch ===

impl Stopwatch {
    /// Starts the total timeout, if there is one.
    pub(crate) fn new(total: Option<Duration>) -> Self {
        let end = total.and_then(|total| Instant::now().checked_add(total));
        Self {
            end,
            due: end.map(|end| (end, Late::Total)),
            timer: None,
        }
    }

    pub(crate) fn start(&mut self, phase: Duration, late: Late) {
        self.set(Instant::now().checked_add(phase), late);
    }

    pub(crate) fn set(&mut self, due: Option<Instant>, late: Late) {
        self.due = match (due, self.end) {
            (Some(due), Some(end)) if end < due => Some((end, Late::Total)),
            (Some(due), _) => Some((due, late)),
            (None, end) => end.map(|end| (end, Late::Total)),
        };
    }

    /// Returns true if the total timeout is over, in any phase.
    pub(crate) fn is_over(&self) -> bool {
        self.end.is_some_and(|end| Instant::now() >= end)
    }

    /// Is ready when the phase's timeout is over.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Late> {
        let Some((due, late)) = self.due else {
            return Poll::Pending;
        };
        let moved = self
            .timer
            .as_ref()
            .is_none_or(|timer| timer.deadline() != due);
        // The timer is a millisecond late, and a timeout of zero has to be over now.
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
            // Checked, and the request is not lost.
            Late::Look => {
                let lost = "the connection was closed while the request was handed to it";
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
