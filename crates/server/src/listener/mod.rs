//! Listeners: where connections come from, and how they are accepted.

pub(crate) mod acceptor;
pub(crate) mod back_off;
pub(crate) mod bind_error;
pub(crate) mod context;
pub(crate) mod endpoint;
pub(crate) mod inherited;
pub(crate) mod proxy_protocol;
pub(crate) mod refusal;
pub(crate) mod socket;
pub(crate) mod socket_listener;
