//! The types of the hooks, as the WIT files in `wit/smg-gateway` and `wit/headwater-middleware` define them.

use wasmtime::component::{ComponentType, Lift, Lower};

#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct Header {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A request, for `on-request`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(crate) struct HookRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    /// Without the question mark. Empty if there is none.
    pub(crate) query: String,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Vec<u8>,
    #[component(name = "request-id")]
    pub(crate) request_id: String,
    #[component(name = "now-epoch-ms")]
    pub(crate) now_epoch_ms: u64,
}

/// A response, for `on-response`, or one that `on-error` returns.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(record)]
pub(crate) struct HookResponse {
    pub(crate) status: u16,
    pub(crate) headers: Vec<Header>,
    pub(crate) body: Vec<u8>,
}

/// The result of `on-request` and `on-response`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lift)]
#[component(variant)]
pub(crate) enum Action {
    #[component(name = "continue")]
    Continue,
    #[component(name = "reject")]
    Reject(u16),
    #[component(name = "modify")]
    Modify(Modify),
}

#[derive(Debug, Clone, Default, PartialEq, Eq, ComponentType, Lift)]
#[component(record)]
pub(crate) struct Modify {
    pub(crate) status: Option<u16>,
    #[component(name = "headers-set")]
    pub(crate) headers_set: Vec<Header>,
    #[component(name = "headers-add")]
    pub(crate) headers_add: Vec<Header>,
    #[component(name = "headers-remove")]
    pub(crate) headers_remove: Vec<String>,
    #[component(name = "body-replace")]
    pub(crate) body_replace: Option<Vec<u8>>,
}

/// A request, for `on-error`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(crate) struct FailedRequest {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: Vec<Header>,
    #[component(name = "request-id")]
    pub(crate) request_id: String,
}

/// A fault, for `on-error`.
#[derive(Debug, Clone, PartialEq, Eq, ComponentType, Lower)]
#[component(record)]
pub(crate) struct HookFault {
    pub(crate) status: u16,
    pub(crate) blame: HookBlame,
    pub(crate) kind: String,
    pub(crate) summary: String,
    pub(crate) middleware: Option<String>,
    #[component(name = "service-reached")]
    pub(crate) service_reached: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ComponentType, Lift, Lower)]
#[component(enum)]
#[repr(u8)]
pub(crate) enum HookBlame {
    #[component(name = "guest")]
    Guest,
    #[component(name = "upstream")]
    Upstream,
    #[component(name = "host")]
    Host,
    #[component(name = "overload")]
    Overload,
}
