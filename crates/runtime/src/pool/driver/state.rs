//! The state shared by the inside of an instance's event loop and its outside.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::pool::instance_stats::Hold;

/// The current work of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    /// Requests that have no answer yet.
    Requests,
    /// Work that continues after the last answer.
    PostReturn,
}

/// The state shared by the inside of the event loop and its outside.
///
/// The outside is polled also while a guest computes, unlike the inside (wasmtime issues 11869 and
/// 11870), so it enforces the deadlines.
///
/// One task polls both, one after the other, so the atomics need no ordering. They only make the
/// state `Send`.
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

    pub(super) fn polled(&self, now: Instant) {
        let now = now.saturating_duration_since(self.origin).as_nanos();
        // Enough for 584 years.
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        self.now.store(now, Ordering::Relaxed);
    }

    pub(super) fn beat(&self) {
        self.beats.store(true, Ordering::Relaxed);
    }

    /// Returns true if the inside was polled since the last call.
    pub(super) fn take_beat(&self) -> bool {
        take(&self.beats)
    }

    /// Returns true if the guest may get a request: none of its tasks is computing.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    pub(super) fn stir(&self) {
        self.calm.store(false, Ordering::Relaxed);
    }

    /// Records that the guest has run as far as it can. Returns true if it got a request before.
    pub(super) fn calm_down(&self) -> bool {
        let stirred = !self.is_calm();
        self.calm.store(true, Ordering::Relaxed);
        stirred
    }

    /// Returns the reason why the instance takes no further request, if there is one.
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

    pub(super) fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }

    pub(super) fn set_running(&self, running: usize) {
        self.running.store(running, Ordering::Relaxed);
    }

    /// Returns the phase, and the time of the poll in which it began.
    pub(super) fn phase(&self) -> (Phase, Instant) {
        let since = Duration::from_nanos(self.since.load(Ordering::Relaxed));
        (self.current_phase(), self.origin + since)
    }

    /// Enters a phase. Returns true if it differs from the current one.
    pub(super) fn enter(&self, phase: Phase) -> bool {
        let changes = phase != self.current_phase();
        if changes {
            self.renew(phase);
        }
        changes
    }

    /// Enters a phase and restarts its time.
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
