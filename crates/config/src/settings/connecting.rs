use std::path::{Path, PathBuf};

use super::settings;

settings! {
    /// How the outgoing connections of a service are made.
    #[command(next_help_heading = "Outgoing connections, of services that do not have their own")]
    pub struct ConnectingSettings {
        /// Trust the certificates in these files (PEM) besides the machine's, separated by commas
        /// [default: none]
        #[arg(long, value_name = "FILES", value_delimiter = ',', env = "HEADWATER_CA")]
        pub ca: Option<Vec<PathBuf>>,

        /// Reach upstreams by a forward proxy: `http://[USER:PASSWORD@]HOST[:PORT]` (or `https://`),
        /// `env` for what HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY say, or `none`; the proxy
        /// resolves names, so the policy on addresses does not see what they resolve to [default: none]
        #[arg(
            long,
            value_name = "URL|env|none",
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

// === impl ConnectingSettings ===

impl ConnectingSettings {
    /// The settings of a file in `folder`, with their files where they are.
    pub(crate) fn within(&mut self, folder: &Path) {
        for file in self.ca.iter_mut().flatten() {
            *file = folder.join(&*file);
        }
    }
}
