use super::settings;
use crate::{Bounded, Count, Size, Time};

settings! {
    /// Outgoing requests of a service: `[service.outgoing]`, or `[defaults.outgoing]` for services
    /// that do not have their own settings.
    #[command(next_help_heading = "Outgoing requests, for services without their own settings")]
    pub struct OutgoingSettings {
        /// Time for resolving a name and connecting [default: 10s]
        #[arg(
            id = "outgoing_connect_timeout",
            long = "outgoing-connect-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_CONNECT_TIMEOUT"
        )]
        pub connect_timeout: Option<Time>,

        /// Time for a TLS handshake [default: 10s]
        #[arg(
            id = "outgoing_tls_timeout",
            long = "outgoing-tls-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_TLS_TIMEOUT"
        )]
        pub tls_timeout: Option<Time>,

        /// Time that an upstream may take from the end of a request to the head of its response
        /// [default: 60s]
        #[arg(
            id = "outgoing_first_byte_timeout",
            long = "outgoing-first-byte-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_FIRST_BYTE_TIMEOUT"
        )]
        pub first_byte_timeout: Option<Time>,

        /// Longest pause between two parts of a response's body [default: 60s]
        #[arg(
            id = "outgoing_between_bytes_timeout",
            long = "outgoing-between-bytes-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_BETWEEN_BYTES_TIMEOUT"
        )]
        pub between_bytes_timeout: Option<Time>,

        /// Longest time without progress while a request's body is sent [default: 60s]
        #[arg(
            id = "outgoing_write_timeout",
            long = "outgoing-write-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_WRITE_TIMEOUT"
        )]
        pub write_timeout: Option<Time>,

        /// Time that a whole outgoing request may take [default: no limit]
        #[arg(
            id = "outgoing_total_timeout",
            long = "outgoing-total-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_TOTAL_TIMEOUT"
        )]
        pub total_timeout: Option<Time>,

        /// Outgoing requests that a service may have open at once [default: 1024]
        #[arg(
            id = "max_outgoing_requests",
            long = "max-outgoing-requests",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_REQUESTS"
        )]
        pub max_requests: Option<Count>,

        /// Connections to upstreams that a service may have open at once [default: 512]
        #[arg(
            id = "max_outgoing_connections",
            long = "max-outgoing-connections",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_CONNECTIONS"
        )]
        pub max_connections: Option<Count>,

        /// Time that an outgoing request waits if the limit on open requests or connections is
        /// reached; with `1ms` it fails at once [default: 1s]
        #[arg(
            id = "outgoing_limit_wait",
            long = "outgoing-limit-wait",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_LIMIT_WAIT"
        )]
        pub limit_wait: Option<Time>,

        /// Size of the header fields of an outgoing request, and of its trailers, in bytes
        /// [default: 64KiB]
        #[arg(
            id = "max_outgoing_request_head",
            long = "max-outgoing-request-head",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_REQUEST_HEAD"
        )]
        pub max_request_head: Option<Size>,

        /// Size of the header fields of a response to an outgoing request, and of its trailers, in
        /// bytes [default: 64KiB]
        #[arg(
            id = "max_outgoing_response_head",
            long = "max-outgoing-response-head",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_RESPONSE_HEAD"
        )]
        pub max_response_head: Option<Size>,

        /// Number of header fields that a response to an outgoing request may have [default: 100]
        #[arg(
            id = "max_outgoing_response_fields",
            long = "max-outgoing-response-fields",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_RESPONSE_FIELDS"
        )]
        pub max_response_fields: Option<Bounded<1, 10_000>>,

        /// Size of the body of an outgoing request [default: no limit]
        #[arg(
            id = "max_outgoing_request_body",
            long = "max-outgoing-request-body",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_REQUEST_BODY"
        )]
        pub max_request_body: Option<Size>,

        /// Size of the body of a response to an outgoing request [default: no limit]
        #[arg(
            id = "max_outgoing_response_body",
            long = "max-outgoing-response-body",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_RESPONSE_BODY"
        )]
        pub max_response_body: Option<Size>,

        /// Idle connections to keep for one upstream; 0 keeps none [default: 32]
        #[arg(
            id = "max_outgoing_idle_per_host",
            long = "max-outgoing-idle-per-host",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_IDLE_PER_HOST"
        )]
        pub max_idle_per_host: Option<usize>,

        /// Time to keep an idle connection [default: 90s]
        #[arg(
            id = "outgoing_idle_timeout",
            long = "outgoing-idle-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_IDLE_TIMEOUT"
        )]
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
