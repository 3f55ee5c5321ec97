//! Reads a file and flags into a specification of what to serve, before anything is loaded.

pub(crate) mod builtins;
pub(crate) mod capabilities;
pub(crate) mod chain;
pub(crate) mod config_location;
mod from_file;
mod from_flags;
pub(crate) mod from_serve;
pub(crate) mod host_spec;
pub(crate) mod internal_grants;
#[cfg(feature = "wagi")]
pub(crate) mod modules;
pub(crate) mod needs_restart;
pub(crate) mod prepared;
pub(crate) mod routes;
pub(crate) mod service_spec;
