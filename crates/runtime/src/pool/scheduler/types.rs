//! What goes into the core and what comes out of it.

/// A request, as the pool names it: by a number that rises in the order of arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RequestKey(pub(crate) u64);

/// An instance, as the pool names it. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct InstanceKey(pub(crate) u64);

/// What the surroundings are to do, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Give the request to the instance.
    Assign(RequestKey, InstanceKey),
    /// Start an instance.
    Start(InstanceKey),
    /// Answer that the service is overloaded: the queue is full.
    Refuse(RequestKey),
    /// Let the instance finish what it has and end.
    Retire(InstanceKey, Retirement),
}

/// Why an instance is retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Retirement {
    /// It was given all the requests that it may have.
    Served,
    /// It had nothing to do for too long.
    Idle,
    /// A request in it missed its deadline.
    Deadline,
    /// It had nothing to do, and another service needed its place in the engine.
    Evicted,
    /// Its service has more places in the engine than another that needed one.
    GaveWay,
    /// It keeps more tasks than can be told apart.
    Outgrown,
    /// Another version of its service takes the requests.
    Replaced,
}

impl Retirement {
    /// All causes, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::Served,
        Self::Idle,
        Self::Deadline,
        Self::Evicted,
        Self::GaveWay,
        Self::Outgrown,
        Self::Replaced,
    ];

    /// The label in logs and metrics.
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
