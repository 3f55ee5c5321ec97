//! What the inside of an instance's event loop and its outside know of each other.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pool::instance_stats::Hold;

/// What an instance is busy with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// With nothing.
    Idle,
    /// With requests that have no answer yet.
    Requests,
    /// With work that goes on after the last answer.
    PostReturn,
}

/// What the inside of the event loop and its outside know of each other.
///
/// The outside is polled also while a guest computes, which the inside is not (wasmtime issues 11869
/// and 11870): deadlines are enforced there.
///
/// Both are polled by one task, one after the other. So nothing here needs to be ordered; atomics are
/// what the task may take from thread to thread.
#[derive(Debug)]
pub(super) struct DriverState {
    beats: AtomicBool,
    calm: AtomicBool,
    hold: AtomicU8,
    running: AtomicUsize,
    phase: AtomicU8,
    /// Times are in ns since this one.
    origin: Instant,
    since: AtomicU64,
    now: AtomicU64,
}

impl DriverState {
    pub(super) fn new() -> Self {
        Self {
            beats: AtomicBool::new(false),
            calm: AtomicBool::new(true),
            hold: AtomicU8::new(0),
            running: AtomicUsize::new(0),
            phase: AtomicU8::new(0),
            origin: Instant::now(),
            since: AtomicU64::new(0),
            now: AtomicU64::new(0),
        }
    }

    /// The task is polled, at this time.
    pub(super) fn polled(&self, now: Instant) {
        let now = now.saturating_duration_since(self.origin).as_nanos();
        // As much as 584 years.
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.now.store(now, Ordering::Relaxed);
    }

    /// The inside was polled.
    pub(super) fn beat(&self) {
        self.beats.store(true, Ordering::Relaxed);
    }

    /// Whether the inside was polled since this was asked last.
    pub(super) fn take_beat(&self) -> bool {
        take(&self.beats)
    }

    /// Whether the guest may be given a request: none of its tasks is computing.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// The guest was given a request.
    pub(super) fn stir(&self) {
        self.calm.store(false, Ordering::Relaxed);
    }

    /// The guest has run as far as it can. Says whether it was given a request before.
    pub(super) fn calm_down(&self) -> bool {
        let stirred = !self.is_calm();
        self.calm.store(true, Ordering::Relaxed);
        stirred
    }

    /// Why the instance takes no further request, if it does not.
    pub(super) fn hold(&self) -> Option<Hold> {
        match self.hold.load(Ordering::Relaxed) {
            1 => Some(Hold::Backpressure),
            2 => Some(Hold::WorkLeft),
            _ => None,
        }
    }

    pub(super) fn set_hold(&self, hold: Option<Hold>) {
        let hold = match hold {
            None => 0,
            Some(Hold::Backpressure) => 1,
            Some(Hold::WorkLeft) => 2,
        };
        self.hold.store(hold, Ordering::Relaxed);
    }

    /// Calls of the guest that are running.
    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn set_running(&self, running: usize) {
        self.running.store(running, Ordering::Relaxed);
    }

    /// What the instance is busy with, and since when: since the poll, that is, in which that began.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let since = Duration::from_nanos(self.since.load(Ordering::Relaxed));
        (self.current_phase(), self.origin + since)
    }

    /// From now on the instance is busy with this. Says whether it was with something else before.
    pub(super) fn enter(&self, phase: Phase) -> bool {
        let changes = phase != self.current_phase();
        if changes {
            self.renew(phase);
        }
        changes
    }

    /// Likewise, and the time of the phase begins anew.
    pub(super) fn renew(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Relaxed);
        let now = self.now.load(Ordering::Relaxed);
        self.since.store(now, Ordering::Relaxed);
    }

    fn current_phase(&self) -> Phase {
        match self.phase.load(Ordering::Relaxed) {
            1 => Phase::Requests,
            2 => Phase::PostReturn,
            _ => Phase::Idle,
        }
    }
}

fn take(flag: &AtomicBool) -> bool {
    let value = flag.load(Ordering::Relaxed);
    flag.store(false, Ordering::Relaxed);
    value
}
