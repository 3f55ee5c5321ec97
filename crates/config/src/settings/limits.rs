use super::settings;
use crate::{Count, Memory, Time};

settings! {
    /// Limits of a service, for components and modules.
    #[command(next_help_heading = "Limits, for services without their own settings")]
    pub struct LimitSettings {
        /// Time that a request may take until its response head (`500ms`, `30s`, `2m`) [default:
        /// 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_TIMEOUT")]
        pub timeout: Option<Time>,

        /// Memory of one instance (`64MiB`, `1GiB`; a number without a unit is in MiB) [default:
        /// 256MiB]
        #[arg(long, value_name = "SIZE", env = "HEADWATER_MEMORY")]
        pub memory: Option<Memory>,

        /// Instances of a service that may be alive at once [default: 100]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_INSTANCES")]
        pub max_instances: Option<Count>,

        /// CPU time that one request may take; after that, the request's instance is ended
        /// [default: limited by the timeout only]
        #[arg(long, value_name = "TIME", env = "HEADWATER_MAX_CPU_TIME")]
        pub max_cpu_time: Option<Time>,

        /// Files and directories that one instance may have open at once, in addition to the
        /// directories granted to it [default: 64]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OPEN_FILES_PER_INSTANCE")]
        pub max_open_files_per_instance: Option<Count>,

        /// Files and directories that all instances of a service may have open at once [default: 1024]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OPEN_FILES")]
        pub max_open_files: Option<Count>,
    }
}
