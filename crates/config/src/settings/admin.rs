use std::path::Path;

use super::settings;
use crate::TcpAddress;
use crate::secret::SecretSource;

settings! {
    /// The admin listener, apart from the public one: the section `[admin]`, which turns it on, as the
    /// flag does.
    #[command(next_help_heading = "Admin")]
    pub struct AdminSettings {
        /// Serve health, readiness, metrics, the services and the requests in flight, for those who run
        /// this host. Without a token, anybody who reaches it may reload the services and change what is
        /// logged [default: 127.0.0.1:9901]
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

        /// Serve health, readiness and metrics, and nothing else, at a second address, without a token:
        /// for probes and Prometheus, where the admin listener itself is out of reach [default: not
        /// served]
        #[arg(
            id = "admin_probes",
            long = "admin-probes",
            value_name = "ADDRESS",
            env = "HEADWATER_ADMIN_PROBES"
        )]
        pub probes: Option<TcpAddress>,

        /// Names by which both listeners may be asked, beside addresses and `localhost`, separated by
        /// commas: `admin.example`, `*.svc.cluster.local`, each with or without a port. By another name a
        /// web page could reach them [default: none]
        #[arg(
            id = "admin_hosts",
            long = "admin-hosts",
            value_name = "NAMES",
            value_delimiter = ',',
            env = "HEADWATER_ADMIN_HOSTS"
        )]
        pub hosts: Option<Vec<String>>,

        /// Token that requests to the admin listener must have, as `Authorization: Bearer TOKEN`, but for
        /// `/healthz` and `/readyz`. The flag names the file that holds it [default: none is asked for]
        #[arg(
            id = "admin_token_file",
            long = "admin-token-file",
            value_name = "FILE",
            env = "HEADWATER_ADMIN_TOKEN_FILE"
        )]
        pub token: Option<SecretSource>,
    }
}

// === impl AdminSettings ===

impl AdminSettings {
    /// The section with its paths from `folder`.
    pub(crate) fn within(&mut self, folder: &Path) {
        if let Some(file) = self.token.as_mut().and_then(SecretSource::file_mut) {
            *file = folder.join(&*file);
        }
    }
}
