use headwater_core::AttributionMode;

use super::settings;
use crate::{Count, Range, Time};

settings! {
    /// The instances of a component and their reuse.
    #[command(next_help_heading = "Instances and their reuse, for components without their own settings")]
    pub struct PoolSettings {
        /// Requests that one instance may serve at once, unless its guest applies backpressure. 0.3
        /// components only [default: 16]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_CONCURRENT_PER_INSTANCE")]
        pub max_concurrent_per_instance: Option<Count>,

        /// Requests that one instance serves before it is retired; from a range, each instance
        /// draws its own number. Components only [default: 750-1000 for 0.3, 1 for 0.2]
        #[arg(long, value_name = "N[-M]", env = "HEADWATER_MAX_REQUESTS_PER_INSTANCE")]
        pub max_requests_per_instance: Option<Range>,

        /// Instances to keep when there is nothing to do. Components only [default: 0]
        #[arg(long, value_name = "N", env = "HEADWATER_MIN_IDLE")]
        pub min_idle: Option<usize>,

        /// Time to keep an idle instance beyond `min_idle`. Components only [default: 60s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_IDLE_TIMEOUT")]
        pub idle_timeout: Option<Time>,

        /// Time that work may go on in an instance after its last response. Components only
        /// [default: 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_POST_RETURN_TIMEOUT")]
        pub post_return_timeout: Option<Time>,

        /// Requests that may wait for an instance, even for one that is being started; further
        /// requests are answered 503. Components only [default: 1000]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_QUEUE")]
        pub max_queue: Option<Count>,

        /// Time that a request may wait for an instance before it is answered 503. Components only
        /// [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_QUEUE_TIMEOUT")]
        pub queue_timeout: Option<Time>,

        /// Outgoing requests that one instance may have open at once. Components only [default: 256]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OUTGOING_PER_INSTANCE")]
        pub max_outgoing_per_instance: Option<Count>,

        /// Give an instance the next request only when all work of the previous one is done.
        /// Components only; 0.2 components always run like this [default: false]
        #[switch("HEADWATER_SERIAL")]
        pub serial: Option<bool>,

        /// Attribution of outgoing requests if a guest's tasks can wake one another. 0.3 components
        /// only [default: careful]
        #[arg(long, value_name = "MODE", env = "HEADWATER_ATTRIBUTION")]
        pub attribution: Option<AttributionMode>,

        /// Try a request once more if its instance failed. This applies only to requests that have
        /// no body and made no outgoing request, in services without directories. Components only
        /// [default: false]
        #[switch("HEADWATER_RETRY")]
        pub retry: Option<bool>,
    }
}

/// The error for settings that ask for one request at a time and for several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "`serial` and `attribution = \"serial\"` both mean one request at a time: leave \
     `max_concurrent_per_instance` out"
)]
pub struct SerialError;

// === impl PoolSettings ===

impl PoolSettings {
    /// Checks that the settings of one source go together.
    ///
    /// # Errors
    ///
    /// Returns an error if they ask for one request at a time and also set
    /// `max_concurrent_per_instance`.
    pub fn check(&self) -> Result<(), SerialError> {
        let serial = self.serial == Some(true) || self.attribution == Some(AttributionMode::Serial);
        if serial && self.max_concurrent_per_instance.is_some() {
            return Err(SerialError);
        }
        Ok(())
    }
}
