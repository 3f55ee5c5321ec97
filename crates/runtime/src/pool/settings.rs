use std::ops::RangeInclusive;
use std::time::Duration;

pub use headwater_core::AttributionMode;

use crate::world::World;

/// The settings of a service's pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Instances that may be alive at once, including those that are starting or draining. At least
    /// one.
    pub max_instances: usize,
    /// Idle instances that are kept for the next request.
    pub min_idle: usize,
    /// Requests that one instance serves in all. Drawn from the range for each instance, so that
    /// instances started together do not retire together. At least one.
    pub max_requests_per_instance: RangeInclusive<usize>,
    /// Requests that may be in one instance at once, unless its guest applies backpressure. At least
    /// one.
    pub max_concurrent_per_instance: usize,
    /// If true, an instance gets its next request only when all work for the previous one is over,
    /// including work after the response. Then everything that the guest does is for its only
    /// request. Always true for 0.2 components and action components.
    pub serial: bool,
    /// The attribution of calls.
    pub attribution: AttributionMode,
    /// Instances among which requests are spread evenly before the next is used. At least one.
    pub spread: usize,
    /// Time that an idle instance beyond `min_idle` is kept.
    pub idle_timeout: Duration,
    /// Time that work may continue in an instance after its last response.
    pub post_return_timeout: Duration,
    /// Time that the other requests of an instance may continue after one has missed its deadline.
    pub grace: Duration,
    /// Requests that may wait for an instance at once; one more is refused.
    pub max_queue: usize,
    /// Time that a request waits for an instance before it is refused.
    pub queue_timeout: Duration,
    /// Outgoing requests that one instance may have open at once, to the last byte of their
    /// responses; one more fails with `connection-limit-reached`.
    pub max_outgoing_per_instance: usize,
    /// CPU time that one request may use in all; beyond it the instance is ended. None: only the
    /// request's deadline limits it.
    pub max_cpu_time: Option<Duration>,
    /// If true, a request whose instance failed is retried in another. Only if the first attempt had
    /// no visible effect: no request body, no response head, no outgoing request, and no directory of
    /// the service to write to.
    pub retry: bool,
}

impl PoolSettings {
    /// Returns the defaults for components of a world.
    ///
    /// A 0.3 component is entered by 16 requests at once. A 0.2 component gets a fresh instance for
    /// each request, as guests of that world expect, and an action component for each call of a hook.
    #[must_use]
    pub fn of(world: World) -> Self {
        let (requests, concurrent) = match world {
            // Enough that the cost of starting an instance per request does not matter, and few
            // enough that a leaking guest is renewed in time; the spread is a quarter.
            World::Service => (750..=1_000, 16),
            World::Proxy | World::Action => (1..=1, 1),
        };
        Self {
            // A tenth of the engine's places, so that one service cannot take them all.
            max_instances: 100,
            min_idle: 0,
            max_requests_per_instance: requests,
            max_concurrent_per_instance: concurrent,
            // A guest that waits would have its instance to itself.
            serial: world != World::Service,
            attribution: AttributionMode::default(),
            // An instance runs on one thread at a time. Measured with `cargo xtask bench`.
            spread: std::thread::available_parallelism().map_or(1, usize::from),
            // Longer than the pauses of a person who uses the service.
            idle_timeout: Duration::from_secs(60),
            post_return_timeout: Duration::from_secs(30),
            // Enough for work that is nearly done; the instance takes no new requests meanwhile.
            grace: Duration::from_secs(5),
            // A queue longer than what is served within its timeout only delays requests that will be
            // refused anyway.
            max_queue: 1_000,
            queue_timeout: Duration::from_secs(10),
            // Sixteen for each of sixteen requests.
            max_outgoing_per_instance: 256,
            // The deadline bounds it, and a fair share depends on the service.
            max_cpu_time: None,
            // A request that makes its guest trap would do so twice.
            retry: false,
        }
    }
}

/// An operator's overrides; everything else is [`PoolSettings::of`] the component's world.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolOverrides {
    /// See [`PoolSettings::max_instances`].
    pub max_instances: Option<usize>,
    /// See [`PoolSettings::min_idle`].
    pub min_idle: Option<usize>,
    /// See [`PoolSettings::max_requests_per_instance`].
    pub max_requests_per_instance: Option<RangeInclusive<usize>>,
    /// See [`PoolSettings::max_concurrent_per_instance`]. Has no effect on 0.2 components, which
    /// cannot be entered by two requests at once.
    pub max_concurrent_per_instance: Option<usize>,
    /// See [`PoolSettings::serial`]. Overrides
    /// [`max_concurrent_per_instance`](Self::max_concurrent_per_instance).
    pub serial: Option<bool>,
    /// See [`PoolSettings::attribution`]. [`AttributionMode::Serial`] sets [`serial`](Self::serial).
    pub attribution: Option<AttributionMode>,
    /// See [`PoolSettings::spread`].
    pub spread: Option<usize>,
    /// See [`PoolSettings::idle_timeout`].
    pub idle_timeout: Option<Duration>,
    /// See [`PoolSettings::post_return_timeout`].
    pub post_return_timeout: Option<Duration>,
    /// See [`PoolSettings::max_queue`].
    pub max_queue: Option<usize>,
    /// See [`PoolSettings::queue_timeout`].
    pub queue_timeout: Option<Duration>,
    /// See [`PoolSettings::max_outgoing_per_instance`].
    pub max_outgoing_per_instance: Option<usize>,
    /// See [`PoolSettings::max_cpu_time`].
    pub max_cpu_time: Option<Duration>,
    /// See [`PoolSettings::retry`].
    pub retry: Option<bool>,
}

impl PoolOverrides {
    /// Returns the settings for a component of this world.
    pub(crate) fn apply(&self, world: World) -> PoolSettings {
        let default = PoolSettings::of(world);
        let attribution = self.attribution.unwrap_or_default();
        let is_serial = self.serial == Some(true) || attribution == AttributionMode::Serial;
        let serial = default.serial || is_serial;
        let concurrent = self.max_concurrent_per_instance;
        PoolSettings {
            max_instances: self.max_instances.unwrap_or(default.max_instances),
            min_idle: self.min_idle.unwrap_or(default.min_idle),
            max_requests_per_instance: self
                .max_requests_per_instance
                .clone()
                .unwrap_or(default.max_requests_per_instance),
            max_concurrent_per_instance: match serial {
                true => 1,
                false => concurrent.unwrap_or(default.max_concurrent_per_instance),
            },
            serial,
            attribution,
            spread: self.spread.unwrap_or(default.spread),
            idle_timeout: self.idle_timeout.unwrap_or(default.idle_timeout),
            post_return_timeout: self
                .post_return_timeout
                .unwrap_or(default.post_return_timeout),
            grace: default.grace,
            max_queue: self.max_queue.unwrap_or(default.max_queue),
            queue_timeout: self.queue_timeout.unwrap_or(default.queue_timeout),
            max_outgoing_per_instance: self
                .max_outgoing_per_instance
                .unwrap_or(default.max_outgoing_per_instance),
            max_cpu_time: self.max_cpu_time.or(default.max_cpu_time),
            retry: self.retry.unwrap_or(default.retry),
        }
    }
}
