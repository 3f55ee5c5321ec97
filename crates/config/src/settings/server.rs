use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::settings;
use crate::value::text_value;
use crate::{Bounded, Count, Network, Rate, Size, Time};

settings! {
    /// Connections and requests: the section `[server]`.
    #[command(next_help_heading = "Server")]
    pub struct ServerSettings {
        /// Connections that may be open at once; further ones are refused [default: 10000]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_CONNECTIONS")]
        pub max_connections: Option<Count>,

        /// Requests that may be in flight at once; further ones are answered 503. A request counts
        /// until the last byte of its response [default: 10000]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_IN_FLIGHT")]
        pub max_in_flight: Option<Count>,

        /// Connections that one client address (for IPv6, one /64) may have open at once; further
        /// ones are refused. Trusted proxies are not limited [default: no limit]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_CONNECTIONS_PER_CLIENT")]
        pub max_connections_per_client: Option<Count>,

        /// Requests that one client address (for IPv6, one /64) may have in flight at once on all
        /// its connections; further ones are answered 429. Behind a proxy, set `trusted_proxies`;
        /// otherwise all clients count as one [default: 1000]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_IN_FLIGHT_PER_CLIENT")]
        pub max_in_flight_per_client: Option<Count>,

        /// Time for a request's head to arrive, from its first byte [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_HEADER_READ_TIMEOUT")]
        pub header_read_timeout: Option<Time>,

        /// Time that a connection may be open without a request [default: 60s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_KEEP_ALIVE_TIMEOUT")]
        pub keep_alive_timeout: Option<Time>,

        /// Time for a TLS handshake, and for a PROXY header before it [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_HANDSHAKE_TIMEOUT")]
        pub handshake_timeout: Option<Time>,

        /// Longest time that a service waits for the next part of a request's body; then the
        /// request is answered 408 [default: 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_BODY_IDLE_TIMEOUT")]
        pub body_idle_timeout: Option<Time>,

        /// Longest time that a client may read nothing of its response [default: 30s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_SEND_TIMEOUT")]
        pub send_timeout: Option<Time>,

        /// Size of a request's header fields; larger ones are answered 431 [default: 64KiB]
        #[arg(long, value_name = "SIZE", env = "HEADWATER_MAX_HEADER_BYTES")]
        pub max_header_bytes: Option<Size>,

        /// Number of a request's header fields; more are answered 431 [default: 100]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_HEADERS")]
        pub max_headers: Option<Bounded<1, 10_000>>,

        /// Length of a request's URI; longer ones are answered 414 [default: 8KiB]
        #[arg(long, value_name = "SIZE", env = "HEADWATER_MAX_URI")]
        pub max_uri: Option<Size>,

        /// Size of a request's body; larger ones are answered 413. A service may have its own
        /// [default: 100MiB]
        #[arg(long, value_name = "SIZE", env = "HEADWATER_MAX_BODY")]
        pub max_body: Option<Size>,

        /// Time for which the rest of a request's body is read and discarded after an early answer,
        /// so that the client can read the answer [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_LINGER")]
        pub linger: Option<Time>,

        /// Requests that one HTTP/2 connection may have in flight at once [default: 200]
        #[arg(long, value_name = "N", env = "HEADWATER_HTTP2_MAX_STREAMS")]
        pub http2_max_streams: Option<Count>,

        /// Streams that an HTTP/2 client may reset before they are handled; after more resets, the
        /// connection is closed [default: 20]
        #[arg(long, value_name = "N", env = "HEADWATER_HTTP2_MAX_RESETS")]
        pub http2_max_resets: Option<Count>,

        /// Rate of requests of one client address (for IPv6, one /64); requests beyond it are
        /// answered 429 [default: no limit]
        #[arg(long, value_name = "RATE", env = "HEADWATER_CLIENT_RATE")]
        pub client_rate: Option<Rate>,

        /// Networks of proxies in front, separated by commas. Only their `Forwarded` and
        /// `X-Forwarded-*` fields are trusted to name the client [default: none]
        #[arg(
            long,
            value_name = "NETWORKS",
            value_delimiter = ',',
            env = "HEADWATER_TRUSTED_PROXIES"
        )]
        pub trusted_proxies: Option<Vec<Network>>,

        /// Time that requests in flight may go on after Ctrl-C or SIGTERM [default: 10s]
        #[arg(long, value_name = "TIME", env = "HEADWATER_DRAIN_TIMEOUT")]
        pub drain_timeout: Option<Time>,

        /// Time for which new connections are still accepted after Ctrl-C or SIGTERM. During this
        /// time, load balancers can see that the host is no longer ready [default: none]
        #[arg(long, value_name = "TIME", env = "HEADWATER_DRAIN_DELAY")]
        pub drain_delay: Option<Time>,

        /// Places for the instances of all services. An instance takes one for each of its linear
        /// memories, and at least one. Each place is 4 GiB of address space, or 8 GiB if both small
        /// and large guests are served. A tenth of the places is for services that have less than
        /// an equal share [default: 1000]
        #[arg(long, value_name = "N", env = "HEADWATER_PLACES")]
        pub places: Option<Bounded<1, 20_000>>,

        /// Directory that keeps the code of compiled guests for the next start, or `off`. It must
        /// belong to this user, and no other user may be able to write to it [default: `headwater`
        /// in the user's cache directory, ~/.cache]
        #[arg(long, value_name = "DIR|off", env = "HEADWATER_CODE_CACHE")]
        pub code_cache: Option<CodeCachePlace>,

        /// Directory of guests that `headwater compile` compiled for this version and this kind of
        /// CPU. It is only read. It must belong to this user or to root, and no other user may be
        /// able to write to it [default: none]
        #[arg(long, value_name = "DIR", env = "HEADWATER_COMPILED")]
        pub compiled: Option<PathBuf>,

        /// Number of times that a chain of requests may come back to this host; after that, a guest
        /// gets the error `loop-detected`, and any other client gets 508 [default: 16]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_HOPS")]
        pub max_hops: Option<Bounded<0, 100>>,

        /// Id of this host in the `CDN-Loop` of outgoing requests. Hosts behind one load balancer
        /// may share an id; then they count the requests of a chain together [default: a random
        /// one]
        #[arg(long, value_name = "ID", env = "HEADWATER_HOST_ID")]
        pub host_id: Option<String>,

        /// Say in answers why a request failed, and why an outgoing request of its guest was
        /// denied: in the field `headwater-explain`, and in the text of Headwater's own answers.
        /// For development only: it tells clients what services may reach [default: false]
        #[switch("HEADWATER_EXPLAIN")]
        pub explain: Option<bool>,

        /// Outgoing requests that all services together may have open at once [default: 8192]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OUTGOING_REQUESTS_IN_ALL")]
        pub max_outgoing_requests_in_all: Option<Count>,

        /// Connections to upstreams that all services together may have open at once [default:
        /// 4096]
        #[arg(long, value_name = "N", env = "HEADWATER_MAX_OUTGOING_CONNECTIONS_IN_ALL")]
        pub max_outgoing_connections_in_all: Option<Count>,
    }
}

/// The place where compiled code is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeCachePlace {
    /// Nowhere.
    Off,
    /// A directory, which is created if it does not exist.
    Directory(PathBuf),
}

text_value!(
    CodeCachePlace,
    "a directory, or `\"off\"`",
    "^.+$",
    ["/var/cache/headwater", "off"]
);

// === impl CodeCachePlace ===

impl FromStr for CodeCachePlace {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "off" => Self::Off,
            directory => Self::Directory(directory.into()),
        })
    }
}

// === impl ServerSettings ===

impl ServerSettings {
    pub(crate) fn within(&mut self, folder: &Path) {
        if let Some(CodeCachePlace::Directory(directory)) = &mut self.code_cache {
            *directory = folder.join(&*directory);
        }
        if let Some(directory) = &mut self.compiled {
            *directory = folder.join(&*directory);
        }
    }
}
