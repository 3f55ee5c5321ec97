use std::ops::AddAssign;

use crate::pool::instance_stats::InstanceState;
use crate::pool::scheduler::types::InstanceKey;
use crate::threads::ThreadKey;

#[derive(Debug)]
pub(super) struct Instance {
    pub(super) key: InstanceKey,
    pub(super) phase: Phase,
    pub(super) in_flight: usize,
    /// Requests that it may still get.
    pub(super) left: usize,
    /// True if the guest applies backpressure.
    pub(super) held: bool,
    /// The serving thread that it runs on, if it runs on one.
    pub(super) thread: Option<ThreadKey>,
    pub(super) at_work: bool,
    pub(super) late: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Starting,
    Ready,
    Retiring,
}

/// The public state of a pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolView {
    /// Instances that are being started.
    pub starting: usize,
    /// Instances without work.
    pub idle: usize,
    /// Instances with requests, or with work that continues after them.
    pub active: usize,
    /// Those, idle or active, that take no more because their guest applies backpressure or computes.
    pub held: usize,
    /// Instances that finish their work before they end.
    pub retiring: usize,
    /// Requests in instances.
    pub in_flight: usize,
    /// Requests that wait for an instance.
    pub queued: usize,
}

/// Adds up several pools that serve the same service.
impl AddAssign for PoolView {
    fn add_assign(&mut self, other: Self) {
        let Self {
            starting,
            idle,
            active,
            held,
            retiring,
            in_flight,
            queued,
        } = other;
        self.starting += starting;
        self.idle += idle;
        self.active += active;
        self.held += held;
        self.retiring += retiring;
        self.in_flight += in_flight;
        self.queued += queued;
    }
}

impl Instance {
    pub(super) fn state(&self) -> InstanceState {
        match self.phase {
            Phase::Starting => InstanceState::Starting,
            Phase::Retiring => InstanceState::Retiring,
            Phase::Ready if self.is_idle() => InstanceState::Idle,
            Phase::Ready => InstanceState::Active,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.phase == Phase::Ready && self.in_flight == 0 && !self.at_work
    }
}
