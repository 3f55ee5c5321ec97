//! Which service a request is for.

pub(crate) mod entry;
pub(crate) mod host;
pub(crate) mod route;
pub(crate) mod router;
