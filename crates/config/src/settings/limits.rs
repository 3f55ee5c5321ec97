use super::settings;
use crate::{Count, Memory, Range, Time};

settings! {
    /// Bounds of a service: the section `[defaults]` for all that do not have their own, and keys of a
    /// `[[service]]`.
    #[command(next_help_heading = "Limits and reuse, of services that do not have their own")]
    pub struct LimitSettings {
        /// How long a request may take until its response head (`500ms`, `30s`, `2m`) [default: 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_TIMEOUT")]
        pub timeout: Option<Time>,

        /// Memory of one instance (`64MiB`, `1GiB`; without a unit it is MiB) [default: 256MiB]
        #[arg(long, value_name = "SIZE", env = "HEADWATER_MEMORY")]
        pub memory: Option<Memory>,

        /// Requests that may be in one 0.3 instance at once, unless its guest applies backpressure
        /// [default: 16]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_CONCURRENT_PER_INSTANCE")]
        pub max_concurrent_per_instance: Option<Count>,

        /// Requests that one instance serves before it is retired; of a range, each instance draws its
        /// own number [default: 750-1000 for 0.3, 1 for 0.2]
        #[arg(long, value_name = "N[-M]", env = "HEADWATER_MAX_REQUESTS_PER_INSTANCE")]
        pub max_requests_per_instance: Option<Range>,

        /// Instances of a service that may be alive at once [default: 100]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_INSTANCES")]
        pub max_instances: Option<Count>,

        /// Instances that are kept when there is nothing to do [default: 0]
        #[arg(long, value_name = "N", env = "HEADWATER_MIN_IDLE")]
        pub min_idle: Option<usize>,

        /// How long an instance beyond those is kept with nothing to do [default: 60s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_IDLE_TIMEOUT")]
        pub idle_timeout: Option<Time>,

        /// How long work may go on in an instance after its last response [default: 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_POST_RETURN_TIMEOUT")]
        pub post_return_timeout: Option<Time>,

        /// Requests that may wait for an instance; one more is answered 503 [default: 1000]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_QUEUE")]
        pub max_queue: Option<Count>,

        /// How long a request may wait for an instance before it is answered 503 [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_QUEUE_TIMEOUT")]
        pub queue_timeout: Option<Time>,

        /// Outgoing requests that one instance may have open at once [default: 256]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OUTGOING_PER_INSTANCE")]
        pub max_outgoing_per_instance: Option<Count>,

        /// CPU time that one request may take; beyond it its instance is ended [default: none but the
        /// timeout's]
        #[arg(long, value_name = "TIME", env = "HEADWATER_MAX_CPU_TIME")]
        pub max_cpu_time: Option<Time>,

        /// Give an instance the next request only when nothing of the one before goes on in it
        /// [default: false]
        #[arg(
            long,
            value_name = "BOOL",
            env = "HEADWATER_SERIAL",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true",
            conflicts_with = "max_concurrent_per_instance"
        )]
        pub serial: Option<bool>,

        /// Try a request once more if its instance failed: one without a body, which had made no
        /// outgoing request, of a service without directories [default: false]
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
