use std::path::{Path, PathBuf};

use super::settings;

settings! {
    /// The outgoing connections of a service.
    #[command(next_help_heading = "Outgoing connections, for services without their own settings")]
    pub struct ConnectingSettings {
        /// Trust the certificates in these files (PEM), in addition to the machine's, separated by
        /// commas [default: none]
        #[arg(long, value_name = "FILES", value_delimiter = ',', env = "HEADWATER_CA")]
        pub ca: Option<Vec<PathBuf>>,

        /// Forward proxy for outgoing requests: `http://[USER:PASSWORD@]HOST[:PORT]` (or
        /// `https://`), `env` to use HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, or `none`.
        /// The proxy resolves names, so the policy on addresses does not apply to what they resolve
        /// to [default: none]
        #[arg(
            long,
            value_name = "URL|env|none",
            env = "HEADWATER_PROXY",
            hide_env_values = true
        )]
        pub proxy: Option<String>,

        /// Hosts (with all names below them), addresses and networks to reach without the proxy,
        /// separated by commas [default: none]
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
    pub(crate) fn within(&mut self, folder: &Path) {
        for file in self.ca.iter_mut().flatten() {
            *file = folder.join(&*file);
        }
    }
}
