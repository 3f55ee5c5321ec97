//! Requests to other services of the same host, without the network.
//!
//! `http://NAME.internal` always means the service NAME of this host. No name server is asked, so that nobody
//! outside can take a service's place. (`internal` is reserved for private use; no name below it is ever
//! delegated.) The other service's front is called in place of a connection, and its answer is treated as any
//! upstream's.

mod exchange;
mod no_such_service;
mod services;

pub(crate) use exchange::exchange;
pub(crate) use no_such_service::{DOMAIN, NoSuchService};
pub(crate) use services::unspoken;
pub use services::{InternalNameError, InternalServices};
