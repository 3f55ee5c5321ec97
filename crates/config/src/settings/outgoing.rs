use super::settings;
use crate::{Bounded, Count, Size, Time};

settings! {
    /// Outgoing requests of a service: `[service.outgoing]`, or `[defaults.outgoing]` for services
    /// that do not have their own settings.
    #[command(next_help_heading = "Outgoing requests, for services without their own settings")]
    pub struct OutgoingSettings {
        /// Time for resolving a name and connecting [default: 10s]
        #[flag("outgoing-connect-timeout", "TIME", "HEADWATER_OUTGOING_CONNECT_TIMEOUT")]
        pub connect_timeout: Option<Time>,

        /// Time for a TLS handshake [default: 10s]
        #[flag("outgoing-tls-timeout", "TIME", "HEADWATER_OUTGOING_TLS_TIMEOUT")]
        pub tls_timeout: Option<Time>,

        /// Time that an upstream may take from the end of a request to the head of its response
        /// [default: 60s]
        #[flag("outgoing-first-byte-timeout", "TIME", "HEADWATER_OUTGOING_FIRST_BYTE_TIMEOUT")]
        pub first_byte_timeout: Option<Time>,

        /// Longest pause between two parts of a response's body [default: 60s]
        #[flag("outgoing-between-bytes-timeout", "TIME", "HEADWATER_OUTGOING_BETWEEN_BYTES_TIMEOUT")]
        pub between_bytes_timeout: Option<Time>,

        /// Longest time without progress while a request's body is sent [default: 60s]
        #[flag("outgoing-write-timeout", "TIME", "HEADWATER_OUTGOING_WRITE_TIMEOUT")]
        pub write_timeout: Option<Time>,

        /// Time that a whole outgoing request may take [default: no limit]
        #[flag("outgoing-total-timeout", "TIME", "HEADWATER_OUTGOING_TOTAL_TIMEOUT")]
        pub total_timeout: Option<Time>,

        /// Outgoing requests that a service may have open at once [default: 1024]
        #[flag("max-outgoing-requests", "N", "HEADWATER_MAX_OUTGOING_REQUESTS")]
        pub max_requests: Option<Count>,

        /// Connections to upstreams that a service may have open at once [default: 512]
        #[flag("max-outgoing-connections", "N", "HEADWATER_MAX_OUTGOING_CONNECTIONS")]
        pub max_connections: Option<Count>,

        /// Time that an outgoing request waits if the limit on open requests or connections is
        /// reached; with `1ms` it fails at once [default: 1s]
        #[flag("outgoing-limit-wait", "TIME", "HEADWATER_OUTGOING_LIMIT_WAIT")]
        pub limit_wait: Option<Time>,

        /// Size of the header fields of an outgoing request, and of its trailers, in bytes
        /// [default: 64KiB]
        #[flag("max-outgoing-request-head", "SIZE", "HEADWATER_MAX_OUTGOING_REQUEST_HEAD")]
        pub max_request_head: Option<Size>,

        /// Size of the header fields of a response to an outgoing request, and of its trailers, in
        /// bytes [default: 64KiB]
        #[flag("max-outgoing-response-head", "SIZE", "HEADWATER_MAX_OUTGOING_RESPONSE_HEAD")]
        pub max_response_head: Option<Size>,

        /// Number of header fields that a response to an outgoing request may have [default: 100]
        #[flag("max-outgoing-response-fields", "N", "HEADWATER_MAX_OUTGOING_RESPONSE_FIELDS")]
        pub max_response_fields: Option<Bounded<1, 10_000>>,

        /// Size of the body of an outgoing request [default: no limit]
        #[flag("max-outgoing-request-body", "SIZE", "HEADWATER_MAX_OUTGOING_REQUEST_BODY")]
        pub max_request_body: Option<Size>,

        /// Size of the body of a response to an outgoing request [default: no limit]
        #[flag("max-outgoing-response-body", "SIZE", "HEADWATER_MAX_OUTGOING_RESPONSE_BODY")]
        pub max_response_body: Option<Size>,

        /// Idle connections to keep for one upstream; 0 keeps none [default: 32]
        #[flag("max-outgoing-idle-per-host", "N", "HEADWATER_MAX_OUTGOING_IDLE_PER_HOST")]
        pub max_idle_per_host: Option<usize>,

        /// Time to keep an idle connection [default: 90s]
        #[flag("outgoing-idle-timeout", "TIME", "HEADWATER_OUTGOING_IDLE_TIMEOUT")]
        pub idle_timeout: Option<Time>,

        /// Upstreams to reach over HTTP/2 without TLS, separated by commas; may be given several
        /// times. Those of a service are added to those for all services [default: none]
        #[arg(
            long,
            value_name = "HOST:PORT",
            value_delimiter = ',',
            env = "HEADWATER_H2C"
        )]
        pub h2c: Option<Vec<String>>,
    }
}
