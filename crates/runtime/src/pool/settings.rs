use std::ops::RangeInclusive;
use std::time::Duration;

pub use headwater_core::AttributionMode;

use crate::world::World;

/// How a service's instances are kept and shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSettings {
    /// Instances that may be alive at once, those included that are starting or draining. At least
    /// one.
    pub max_instances: usize,
    /// Instances that are kept for the next request when nothing is to do.
    pub min_idle: usize,
    /// Requests that one instance serves in all; drawn from the range for each instance, so that
    /// instances that were started together do not retire together. At least one.
    pub max_requests_per_instance: RangeInclusive<usize>,
    /// Requests that may be in one instance at once, unless its guest applies backpressure. At least
    /// one.
    pub max_concurrent_per_instance: usize,
    /// Whether an instance is given the next request only when nothing of the one before goes on in
    /// it, its work after the response included: then whatever the guest does is done for the one
    /// request that it has. 0.2 components are always used so.
    pub serial: bool,
    /// Whom calls are taken to be made for.
    pub attribution: AttributionMode,
    /// Instances among which requests are spread evenly before the next is used. At least one.
    pub spread: usize,
    /// How long an instance beyond `min_idle` is kept with nothing to do.
    pub idle_timeout: Duration,
    /// How long work may go on in an instance after its last response.
    pub post_return_timeout: Duration,
    /// How long the other requests of an instance may go on when one has missed its deadline.
    pub grace: Duration,
    /// Requests that wait for an instance at once; one more is refused.
    pub max_queue: usize,
    /// How long a request waits for an instance before it is refused.
    pub queue_timeout: Duration,
    /// Outgoing requests that one instance may have open at once, to the last byte of their
    /// responses; one more fails with `connection-limit-reached`.
    pub max_outgoing_per_instance: usize,
    /// CPU time that one request may take in all; none for no bound but the request's deadline.
    /// Beyond it the instance is ended.
    pub max_cpu_time: Option<Duration>,
    /// Whether a request whose instance failed is tried once more in another. Only one that had no
    /// effect that can be seen: it has no body, no response head was given, no outgoing request
    /// made, and the service has no directory to write to.
    pub retry: bool,
}

impl PoolSettings {
    /// The defaults for components of a world.
    ///
    /// A 0.3 component is entered by 16 requests at once; 0.2 gets a fresh instance for each request,
    /// which is what guests of that world were written for.
    #[must_use]
    pub fn of(world: World) -> Self {
        let (requests, concurrent) = match world {
            // Enough that starting an instance costs nothing per request, and few enough that a
            // guest that leaks is renewed in time; the spread is a quarter.
            World::Service => (750..=1_000, 16),
            World::Proxy => (1..=1, 1),
        };
        Self {
            // A tenth of what the engine has room for, so that one service cannot take it all.
            max_instances: 100,
            min_idle: 0,
            max_requests_per_instance: requests,
            max_concurrent_per_instance: concurrent,
            // A guest that waits would have its instance to itself.
            serial: world == World::Proxy,
            attribution: AttributionMode::default(),
            // An instance runs on one thread at a time. Measured with `cargo xtask bench`.
            spread: std::thread::available_parallelism().map_or(1, usize::from),
            // Longer than the pauses of a service that is used by a person.
            idle_timeout: Duration::from_secs(60),
            post_return_timeout: Duration::from_secs(30),
            // Enough for what is nearly done; the instance takes nothing new meanwhile.
            grace: Duration::from_secs(5),
            // A queue that is longer than what is served within its timeout only makes requests
            // late that will be refused all the same.
            max_queue: 1_000,
            queue_timeout: Duration::from_secs(10),
            // Sixteen for each of sixteen requests.
            max_outgoing_per_instance: 256,
            // The deadline bounds it, and what is a fair share depends on the service.
            max_cpu_time: None,
            // A request that makes its guest trap would do so twice.
            retry: false,
        }
    }
}

/// What an operator sets of a service's pool; the rest is [`PoolSettings::of`] its world.
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
    /// See [`PoolSettings::serial`]. Goes before
    /// [`max_concurrent_per_instance`](Self::max_concurrent_per_instance).
    pub serial: Option<bool>,
    /// See [`PoolSettings::attribution`]. [`AttributionMode::Serial`] sets
    /// [`serial`](Self::serial).
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
    /// The settings of a component of this world.
    pub(crate) fn apply(&self, world: World) -> PoolSettings {
        let Self {
            max_instances,
            min_idle,
            max_requests_per_instance,
            max_concurrent_per_instance,
            serial,
            attribution,
            spread,
            idle_timeout,
            post_return_timeout,
            max_queue,
            queue_timeout,
            max_outgoing_per_instance,
            max_cpu_time,
            retry,
        } = self.clone();
        let mut settings = PoolSettings::of(world);
        let set = |setting: &mut usize, value: Option<usize>| *setting = value.unwrap_or(*setting);
        set(&mut settings.max_instances, max_instances);
        set(&mut settings.min_idle, min_idle);
        set(
            &mut settings.max_concurrent_per_instance,
            max_concurrent_per_instance,
        );
        set(&mut settings.spread, spread);
        set(&mut settings.max_queue, max_queue);
        set(
            &mut settings.max_outgoing_per_instance,
            max_outgoing_per_instance,
        );
        settings.attribution = attribution.unwrap_or_default();
        settings.serial |=
            serial.unwrap_or(false) || settings.attribution == AttributionMode::Serial;
        if settings.serial {
            settings.max_concurrent_per_instance = 1;
        }
        if let Some(requests) = max_requests_per_instance {
            settings.max_requests_per_instance = requests;
        }
        let set = |setting: &mut Duration, value: Option<Duration>| {
            *setting = value.unwrap_or(*setting);
        };
        set(&mut settings.idle_timeout, idle_timeout);
        set(&mut settings.post_return_timeout, post_return_timeout);
        set(&mut settings.queue_timeout, queue_timeout);
        settings.max_cpu_time = max_cpu_time.or(settings.max_cpu_time);
        settings.retry = retry.unwrap_or(settings.retry);
        settings
    }
}
