//! The inputs and outputs of the scheduler.

/// The key of a request: a number that rises in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestKey(pub(crate) u64);

/// The key of an instance. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InstanceKey(pub(crate) u64);

/// An instruction to the caller. They must be carried out in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Assign(RequestKey, InstanceKey),
    Start(InstanceKey),
    /// Answer that the service is overloaded: the queue is full.
    Refuse(RequestKey),
    /// Let the instance finish its work and end.
    Retire(InstanceKey, Retirement),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Retirement {
    /// It got all the requests that it may have.
    Served,
    /// It had no work for too long.
    Idle,
    /// A request in it missed its deadline.
    Deadline,
    /// It had no work, and another service needed its place in the engine.
    Evicted,
    /// Its service has more places in the engine than another that needed one.
    GaveWay,
    /// It has more tasks than attribution can tell apart.
    Outgrown,
    /// Another version of its service takes the requests.
    Replaced,
}

impl Retirement {
    /// All reasons, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Served,
        Self::Idle,
        Self::Deadline,
        Self::Evicted,
        Self::GaveWay,
        Self::Outgrown,
        Self::Replaced,
    ];

    /// Returns the label in logs and metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Idle => "idle",
            Self::Deadline => "deadline",
            Self::Evicted => "evicted",
            Self::GaveWay => "gave_way",
            Self::Outgrown => "outgrown",
            Self::Replaced => "replaced",
        }
    }
}
