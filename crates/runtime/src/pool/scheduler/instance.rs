use std::ops::AddAssign;

use crate::pool::instance_stats::InstanceState;
use crate::pool::scheduler::types::InstanceKey;

/// What the core knows of an instance.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) key: InstanceKey,
    pub(super) phase: Phase,
    /// Requests in it.
    pub(super) in_flight: usize,
    /// Requests that it may still be given.
    pub(super) left: usize,
    /// The guest applies backpressure.
    pub(super) held: bool,
    /// Requests or work after them.
    pub(super) at_work: bool,
    /// A request missed its deadline in it.
    pub(super) late: bool,
}

/// Where in its life an instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// It is not there yet.
    Starting,
    /// It may be given requests.
    Ready,
    /// It finishes what it has.
    Retiring,
}

/// What can be seen of the pool from outside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolView {
    /// Instances that are being started.
    pub starting: usize,
    /// Instances with nothing to do.
    pub idle: usize,
    /// Instances with requests, or with work that goes on after them.
    pub active: usize,
    /// Those, idle or active, that take no more because their guest applies backpressure or computes.
    pub held: usize,
    /// Instances that finish what they have and end.
    pub retiring: usize,
    /// Requests in instances.
    pub in_flight: usize,
    /// Requests that wait for an instance.
    pub queued: usize,
}

/// Of several pools that serve the same service.
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
