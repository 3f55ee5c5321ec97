use std::path::Path;

use super::settings;
use crate::TcpAddress;
use crate::secret::SecretSource;

settings! {
    /// The admin listener, separate from the public listeners. The section `[admin]` turns it on,
    /// and so does the flag `--admin`.
    #[command(next_help_heading = "Admin")]
    pub struct AdminSettings {
        /// Serve health, readiness, metrics, services and requests in flight to operators. Without
        /// a token, anybody who reaches this address can reload the services and change what is
        /// logged [default: 127.0.0.1:9901]
        #[flag("admin", "ADDRESS", "HEADWATER_ADMIN")]
        #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "127.0.0.1:9901")]
        pub listen: Option<TcpAddress>,

        /// Serve only health, readiness and metrics at a second address, without a token: for
        /// probes and Prometheus that cannot reach the admin listener [default: not served]
        #[flag("admin-probes", "ADDRESS", "HEADWATER_ADMIN_PROBES")]
        pub probes: Option<TcpAddress>,

        /// Host names that both listeners accept, besides addresses and `localhost`, separated by
        /// commas: `admin.example`, `*.svc.cluster.local`, each with or without a port. Other names
        /// are refused, because a web page could use them to reach the listeners [default: none]
        #[flag("admin-hosts", "NAMES", "HEADWATER_ADMIN_HOSTS")]
        #[arg(value_delimiter = ',')]
        pub hosts: Option<Vec<String>>,

        /// Token that requests to the admin listener must carry as `Authorization: Bearer TOKEN`,
        /// except those for `/healthz` and `/readyz`. The flag names the file that holds it
        /// [default: no token]
        #[flag("admin-token-file", "FILE", "HEADWATER_ADMIN_TOKEN_FILE")]
        pub token: Option<SecretSource>,
    }
}

// === impl AdminSettings ===

impl AdminSettings {
    pub(crate) fn within(&mut self, folder: &Path) {
        if let Some(file) = self.token.as_mut().and_then(SecretSource::file_mut) {
            *file = folder.join(&*file);
        }
    }
}
