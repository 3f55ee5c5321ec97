//! The names of attributes of spans and metrics.
//!
//! The HTTP names are the stable ones of the OpenTelemetry semantic conventions; `headwater.*` are ours.

pub use opentelemetry_semantic_conventions::attribute::{
    CLIENT_ADDRESS, ERROR_TYPE, HTTP_CONNECTION_STATE, HTTP_REQUEST_BODY_SIZE, HTTP_REQUEST_METHOD,
    HTTP_REQUEST_METHOD_ORIGINAL, HTTP_RESPONSE_BODY_SIZE, HTTP_RESPONSE_STATUS_CODE, HTTP_ROUTE,
    NETWORK_PEER_ADDRESS, NETWORK_PEER_PORT, NETWORK_PROTOCOL_NAME, NETWORK_PROTOCOL_VERSION,
    RPC_METHOD, RPC_SYSTEM_NAME, SERVER_ADDRESS, SERVER_PORT, URL_FULL, URL_PATH, URL_QUERY,
    URL_SCHEME, USER_AGENT_ORIGINAL,
};

/// The id that the front gave the request: on its server span, and on the client span of each
/// outgoing request that is attributed to it exactly.
pub const REQUEST_ID: &str = "headwater.request_id";

/// The service that answers, or whose guest calls out.
pub const SERVICE: &str = "headwater.service";

/// The middleware that a span of a chain belongs to. Absent on that of the service behind middlewares.
pub const MIDDLEWARE: &str = "headwater.middleware";

/// `true` if the service behind the middlewares had got the request when one of them failed.
pub const SERVICE_REACHED: &str = "headwater.service_reached";

/// `true` if a middleware with `fail = "open"` failed, and the request went on without it.
pub const FAILED_OPEN: &str = "headwater.middleware.failed_open";

/// The beginning of the attributes with values of the request's context: `headwater.context.tenant`.
pub const CONTEXT: &str = "headwater.context";

/// The well-formed `x-request-id` that the client sent. Never an id of ours.
pub const CLIENT_REQUEST_ID: &str = "headwater.client_request_id";

/// The service of the same host that made the request. Absent if it came by the network.
pub const CALLER_SERVICE: &str = "headwater.caller.service";

/// The id of the request that it was made for, if known.
pub const CALLER_REQUEST_ID: &str = "headwater.caller.request_id";

/// The party at fault if the request got no proper answer: `client`, `guest`, `upstream`, `host` or
/// `overload`.
pub const FAULT: &str = "headwater.fault";

/// The number of outgoing requests made for the request by the time its span ended.
pub const OUTGOING_REQUESTS: &str = "headwater.outgoing_requests";

/// The number of outgoing requests that the policy had denied by then.
pub const OUTGOING_DENIED: &str = "headwater.outgoing_denied";

/// Bytes of outgoing requests' bodies that were sent for the request by then.
pub const OUTGOING_SENT_BYTES: &str = "headwater.outgoing_sent_bytes";

/// Bytes of upstreams' bodies that were received for the request by then.
pub const OUTGOING_RECEIVED_BYTES: &str = "headwater.outgoing_received_bytes";

/// The number of lines of the guest's output that were logged for the request by then.
pub const LOG_LINES: &str = "headwater.log_lines";

/// The guest's CPU time for the request by then, in nanoseconds. Absent if not measured.
pub const CPU_NANOS: &str = "headwater.cpu_nanos";

/// An output of the host, such as `log` or `access_log`: see [`Output::as_str`](crate::Output::as_str).
pub const OUTPUT: &str = "headwater.output";

/// The cause of a failed request, shortened, such as the kind of a trap. Absent if no more is known than
/// `error.type`.
pub const FAULT_CAUSE: &str = "headwater.fault.cause";

/// The verdict on an outgoing request: `exact`, `ambiguous` or `unknown`.
pub const ATTRIBUTION: &str = "headwater.attribution";

/// The evidence that the verdict rests on: `declaration`, `echo`, `stack+echo`, `stack`, `sole`,
/// `both` (two witnesses that name different requests) or `none`.
pub const ATTRIBUTION_WITNESS: &str = "headwater.attribution.witness";

/// The ids of the requests that an ambiguous outgoing request may have been made for, separated by commas.
/// The span has a link to the server span of each.
pub const ATTRIBUTION_CANDIDATES: &str = "headwater.attribution.candidates";

/// The reason why an outgoing request may have been made for another request than the one whose task made it:
/// `woken`, `taken-over`, `awaited` or `outlived`.
pub const ATTRIBUTION_DOUBT: &str = "headwater.attribution.doubt";

/// `true` if the verdict contradicts the call stack, or the call stack is broken.
pub const ATTRIBUTION_DISAGREEMENT: &str = "headwater.attribution.disagreement";

/// The host interface that a guest calls, without its version: `acme:quota/left`.
pub const INTERFACE: &str = "headwater.capability.interface";

/// The function of the host interface.
pub const FUNCTION: &str = "headwater.capability.function";

/// The result of a call of a host interface: `ok`, `error`, or `dropped` (the guest did not wait for it, or
/// it trapped).
pub const OUTCOME: &str = "headwater.capability.outcome";

/// `true` if an outgoing request reused a connection. Absent if it got no connection.
pub const CONNECTION_REUSED: &str = "headwater.connection.reused";

/// The state of an instance: `starting`, `idle`, `active` or `retiring`.
pub const INSTANCE_STATE: &str = "headwater.instance.state";

/// The URL of a listener, such as `http://127.0.0.1:8080`.
pub const LISTENER: &str = "headwater.listener";

/// The reason why an instance was retired or failed, or why a request was refused.
pub const CAUSE: &str = "headwater.cause";

/// The state of a service's circuit: `closed` (requests pass), `open` or `probing`.
pub const CIRCUIT_STATE: &str = "headwater.circuit.state";

/// The state of a service's guest: `not_loaded`, `loading`, `loaded` or `failed`.
pub const LOAD_STATE: &str = "headwater.load.state";

/// The version of Headwater.
pub const VERSION: &str = "headwater.version";

/// The result of a reload: `success` or `failure`.
pub const RELOAD_RESULT: &str = "headwater.result";

/// The file of a certificate.
pub const CERTIFICATE_FILE: &str = "headwater.certificate.file";
