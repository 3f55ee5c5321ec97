//! How the host is operated.

use std::net::SocketAddr;

use clap::Args;

/// Where the admin listener is if nobody says: on this machine only.
const ADMIN: &str = "127.0.0.1:9901";

/// How the host is operated while it serves.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Operation")]
pub(crate) struct OperationArgs {
    /// Offer health, metrics, the services and the requests in flight, reloading and the log's level
    /// on a listener of their own; nobody is asked who they are there. Without an address it is
    /// 127.0.0.1:9901
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "HEADWATER_ADMIN",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = ADMIN
    )]
    pub(crate) admin: Option<SocketAddr>,

    /// Load again when a file changes that is served or says what is; SIGHUP does so, too
    #[arg(long, env = "HEADWATER_WATCH")]
    pub(crate) watch: bool,
}
