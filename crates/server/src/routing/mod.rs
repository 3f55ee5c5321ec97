//! Finds the service of a request.

pub(crate) mod entry;
pub(crate) mod route;
pub(crate) mod router;
pub(crate) mod virtual_host;
