use headwater_core::GuestTraceparent;

use super::settings;

settings! {
    /// Which trace headers the outgoing requests of a service carry.
    #[command(next_help_heading = "Trace headers of outgoing requests, of services that do not have their own")]
    pub struct TraceHeaderSettings {
        /// What becomes of a `traceparent` that a guest sets on an outgoing request: it is kept,
        /// replaced by that of the outgoing request's own span, or replaced and linked to that span
        /// [default: keep]
        #[arg(long, value_name = "WHAT", env = "HEADWATER_GUEST_TRACEPARENT")]
        pub guest_traceparent: Option<GuestTraceparent>,

        /// Let outgoing requests carry the `x-request-id` of the request that they are made for
        /// [default: false]
        #[arg(
            long,
            value_name = "BOOL",
            env = "HEADWATER_FORWARD_REQUEST_ID",
            num_args = 0..=1,
            require_equals = true,
            default_missing_value = "true"
        )]
        pub forward_request_id: Option<bool>,
    }
}
