use headwater_core::GuestTraceparent;

use super::settings;

settings! {
    /// The trace headers that the outgoing requests of a service carry.
    #[command(next_help_heading = "Trace headers of outgoing requests, for services without their own settings")]
    pub struct TraceHeaderSettings {
        /// Handling of a `traceparent` that a guest sets on an outgoing request [default: keep]
        #[arg(long, value_name = "MODE", env = "HEADWATER_GUEST_TRACEPARENT")]
        pub guest_traceparent: Option<GuestTraceparent>,

        /// Send the `x-request-id` of a request on the outgoing requests that are made for it
        /// [default: false]
        #[switch("HEADWATER_FORWARD_REQUEST_ID")]
        pub forward_request_id: Option<bool>,
    }
}
