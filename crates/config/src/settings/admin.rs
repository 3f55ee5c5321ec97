use super::settings;
use crate::TcpAddress;

settings! {
    /// The admin listener, apart from the public one: the section `[admin]`, which turns it on, as the
    /// flag does.
    #[command(next_help_heading = "Admin")]
    pub struct AdminSettings {
        /// Serve health, readiness, metrics, the services and the requests in flight, for those who run
        /// this host: anybody who reaches it may reload the services and change what is logged
        /// [default: 127.0.0.1:9901]
        #[arg(
            id = "admin",
            long = "admin",
            value_name = "ADDRESS",
            env = "HEADWATER_ADMIN",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "127.0.0.1:9901"
        )]
        pub listen: Option<TcpAddress>,
    }
}
