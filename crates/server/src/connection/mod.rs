//! One connection: its HTTP, its timeouts and its state.

pub(crate) mod accepted;
pub(crate) mod codec;
pub(crate) mod counts;
pub(crate) mod h2_send_body;
pub(crate) mod h2_streams;
pub(crate) mod http_connection;
pub(crate) mod listener_context;
pub(crate) mod proxy_protocol;
pub(crate) mod refusal;
pub(crate) mod service;
pub(crate) mod socket;
pub(crate) mod state;
pub(crate) mod timed_io;
pub(crate) mod timeouts;
