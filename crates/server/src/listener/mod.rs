//! Listeners: binding and accepting.

pub(crate) mod acceptor;
pub(crate) mod back_off;
pub(crate) mod bind_error;
pub(crate) mod inherited;
pub(crate) mod socket_listener;
