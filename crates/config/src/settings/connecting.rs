use std::path::PathBuf;

use super::settings;

settings! {
    /// How outgoing connections are made: keys of `[defaults]` for all services that do not have their
    /// own, and of a `[[service]]`.
    #[command(next_help_heading = "Outgoing connections")]
    pub struct ConnectingSettings {
        /// Trust the certificates in a PEM file besides the machine's; may be given several times
        /// [default: none]
        #[arg(long, value_name = "FILE")]
        pub ca: Option<Vec<PathBuf>>,

        /// Reach upstreams by a forward proxy: `http://[USER:PASSWORD@]HOST[:PORT]` (or `https://`), or
        /// `env` for what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say; the proxy resolves names,
        /// so the policy on addresses does not see what they resolve to [default: none]
        #[arg(
            long,
            value_name = "URL|env",
            env = "HEADWATER_PROXY",
            hide_env_values = true
        )]
        pub proxy: Option<String>,

        /// Reach these hosts (and all below them), addresses and networks without the proxy, separated
        /// by commas [default: none]
        #[arg(
            long,
            value_name = "HOSTS",
            value_delimiter = ',',
            env = "HEADWATER_NO_PROXY"
        )]
        pub no_proxy: Option<Vec<String>>,
    }
}
