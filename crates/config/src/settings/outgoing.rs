use super::settings;
use crate::{Bounded, Count, Size, Time};

settings! {
    /// How a service calls out: the section `[defaults.outgoing]` for all that do not have their own, and
    /// `[service.outgoing]`.
    #[command(next_help_heading = "Outgoing requests, of services that do not have their own")]
    pub struct OutgoingSettings {
        /// How long resolving a name and connecting may take [default: 10s]
        #[arg(
            id = "outgoing_connect_timeout",
            long = "outgoing-connect-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_CONNECT_TIMEOUT"
        )]
        pub connect_timeout: Option<Time>,

        /// How long a TLS handshake may take [default: 10s]
        #[arg(
            id = "outgoing_tls_timeout",
            long = "outgoing-tls-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_TLS_TIMEOUT"
        )]
        pub tls_timeout: Option<Time>,

        /// How long an upstream may take from the end of a request to the head of its response
        /// [default: 60s]
        #[arg(
            id = "outgoing_first_byte_timeout",
            long = "outgoing-first-byte-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_FIRST_BYTE_TIMEOUT"
        )]
        pub first_byte_timeout: Option<Time>,

        /// How long it may take between two parts of a response's body [default: 60s]
        #[arg(
            id = "outgoing_between_bytes_timeout",
            long = "outgoing-between-bytes-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_BETWEEN_BYTES_TIMEOUT"
        )]
        pub between_bytes_timeout: Option<Time>,

        /// How long a request's body may make no progress [default: 60s]
        #[arg(
            id = "outgoing_write_timeout",
            long = "outgoing-write-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_WRITE_TIMEOUT"
        )]
        pub write_timeout: Option<Time>,

        /// How long all of an outgoing request may take [default: no bound]
        #[arg(
            id = "outgoing_total_timeout",
            long = "outgoing-total-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_TOTAL_TIMEOUT"
        )]
        pub total_timeout: Option<Time>,

        /// Outgoing requests of a service that may be open at once [default: 1024]
        #[arg(
            id = "max_outgoing_requests",
            long = "max-outgoing-requests",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_REQUESTS"
        )]
        pub max_requests: Option<Count>,

        /// Connections of a service to upstreams that may be open at once [default: 512]
        #[arg(
            id = "max_outgoing_connections",
            long = "max-outgoing-connections",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_CONNECTIONS"
        )]
        pub max_connections: Option<Count>,

        /// How long an outgoing request may wait where as many are open as may be; with `1ms` it
        /// fails at once [default: 1s]
        #[arg(
            id = "outgoing_limit_wait",
            long = "outgoing-limit-wait",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_LIMIT_WAIT"
        )]
        pub limit_wait: Option<Time>,

        /// Header fields of an outgoing request, and its trailers, in bytes [default: 64KiB]
        #[arg(
            id = "max_outgoing_request_head",
            long = "max-outgoing-request-head",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_REQUEST_HEAD"
        )]
        pub max_request_head: Option<Size>,

        /// Header fields of a response to one, and its trailers, in bytes [default: 64KiB]
        #[arg(
            id = "max_outgoing_response_head",
            long = "max-outgoing-response-head",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_RESPONSE_HEAD"
        )]
        pub max_response_head: Option<Size>,

        /// How many header fields a response to one may have [default: 100]
        #[arg(
            id = "max_outgoing_response_fields",
            long = "max-outgoing-response-fields",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_RESPONSE_FIELDS"
        )]
        pub max_response_fields: Option<Bounded<1, 10_000>>,

        /// Body of an outgoing request [default: no bound]
        #[arg(
            id = "max_outgoing_request_body",
            long = "max-outgoing-request-body",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_REQUEST_BODY"
        )]
        pub max_request_body: Option<Size>,

        /// Body of a response to one [default: no bound]
        #[arg(
            id = "max_outgoing_response_body",
            long = "max-outgoing-response-body",
            value_name = "SIZE",
            env = "HEADWATER_MAX_OUTGOING_RESPONSE_BODY"
        )]
        pub max_response_body: Option<Size>,

        /// Idle connections that are kept for one upstream; 0 keeps none [default: 32]
        #[arg(
            id = "max_outgoing_idle_per_host",
            long = "max-outgoing-idle-per-host",
            value_name = "N",
            env = "HEADWATER_MAX_OUTGOING_IDLE_PER_HOST"
        )]
        pub max_idle_per_host: Option<usize>,

        /// How long they are kept [default: 90s]
        #[arg(
            id = "outgoing_idle_timeout",
            long = "outgoing-idle-timeout",
            value_name = "TIME",
            env = "HEADWATER_OUTGOING_IDLE_TIMEOUT"
        )]
        pub idle_timeout: Option<Time>,

        /// Speak HTTP/2 without TLS to these upstreams, separated by commas; may be given several times,
        /// and a service's own are added [default: none]
        #[arg(
            long,
            value_name = "HOST:PORT",
            value_delimiter = ',',
            env = "HEADWATER_H2C"
        )]
        pub h2c: Option<Vec<String>>,
    }
}
