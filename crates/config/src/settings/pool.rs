use headwater_core::AttributionMode;

use super::settings;
use crate::{Count, Range, Time};

settings! {
    /// How a component's instances are used.
    #[command(next_help_heading = "Instances and their reuse, of components that do not have their own")]
    pub struct PoolSettings {
        /// Requests that may be in one instance at once, unless its guest applies backpressure; 0.3
        /// components only [default: 16]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_CONCURRENT_PER_INSTANCE")]
        pub max_concurrent_per_instance: Option<Count>,

        /// Requests that one instance serves before it is retired; of a range, each instance draws its
        /// own number. Components only [default: 750-1000 for 0.3, 1 for 0.2]
        #[arg(long, value_name = "N[-M]", env = "HEADWATER_MAX_REQUESTS_PER_INSTANCE")]
        pub max_requests_per_instance: Option<Range>,

        /// Instances that are kept when there is nothing to do. Components only [default: 0]
        #[arg(long, value_name = "N", env = "HEADWATER_MIN_IDLE")]
        pub min_idle: Option<usize>,

        /// How long an instance beyond those is kept with nothing to do. Components only [default: 60s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_IDLE_TIMEOUT")]
        pub idle_timeout: Option<Time>,

        /// How long work may go on in an instance after its last response. Components only
        /// [default: 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_POST_RETURN_TIMEOUT")]
        pub post_return_timeout: Option<Time>,

        /// Requests that may wait for an instance, one that is being started included; one more is
        /// answered 503. Components only [default: 1000]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_QUEUE")]
        pub max_queue: Option<Count>,

        /// How long a request may wait for an instance before it is answered 503. Components only
        /// [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_QUEUE_TIMEOUT")]
        pub queue_timeout: Option<Time>,

        /// Outgoing requests that one instance may have open at once. Components only [default: 256]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OUTGOING_PER_INSTANCE")]
        pub max_outgoing_per_instance: Option<Count>,

        /// Give an instance the next request only when nothing of the one before goes on in it.
        /// Components only; those of 0.2 always are so [default: false]
        #[arg(
            long,
            value_name = "BOOL",
            env = "HEADWATER_SERIAL",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true"
        )]
        pub serial: Option<bool>,

        /// How outgoing requests are attributed if a guest's tasks can wake one another: always to the request
        /// whose task makes them, with care, or with one request at a time. 0.3 components only
        /// [default: careful]
        #[arg(long, value_name = "HOW", env = "HEADWATER_ATTRIBUTION")]
        pub attribution: Option<AttributionMode>,

        /// Try a request once more if its instance failed: one without a body, which had made no
        /// outgoing request, of a service without directories. Components only [default: false]
        #[arg(
            long,
            value_name = "BOOL",
            env = "HEADWATER_RETRY",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true"
        )]
        pub retry: Option<bool>,
    }
}

/// One setting asks for a request at a time, another for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`serial` is one request at a time, and so is `attribution = \"serial\"`; leave \
     `max_concurrent_per_instance` out"
)]
pub struct SerialError;

// === impl PoolSettings ===

impl PoolSettings {
    /// Whether what is said in one place makes sense.
    ///
    /// # Errors
    ///
    /// When it asks for one request at a time and says how many there may be.
    pub fn check(&self) -> Result<(), SerialError> {
        let serial = self.serial == Some(true) || self.attribution == Some(AttributionMode::Serial);
        if serial && self.max_concurrent_per_instance.is_some() {
            return Err(SerialError);
        }
        Ok(())
    }
}
