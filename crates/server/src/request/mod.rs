//! Checks and changes to a request's head and body.

pub(crate) mod body;
pub(crate) mod body_wait;
pub(crate) mod certificate;
pub(crate) mod cookies;
pub(crate) mod forwarded;
pub(crate) mod method;
pub(crate) mod reserved_headers;
pub(crate) mod target;
pub(crate) mod transfer_coding;
