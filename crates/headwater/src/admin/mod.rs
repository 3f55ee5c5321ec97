//! The admin listener, for operators, apart from the public listeners.
//!
//! It listens on this machine only, unless another address is given. It requires a token if there
//! is one. Otherwise it refuses requests that a browser sends on behalf of a page: see [`guard`]. A
//! second listener serves probes and Prometheus only.

#[cfg(not(feature = "admin"))]
mod absent;
#[cfg(feature = "admin")]
mod environment;
#[cfg(feature = "admin")]
mod guard;
#[cfg(feature = "admin")]
mod listener;
mod params;
#[cfg(feature = "admin")]
mod view;

#[cfg(not(feature = "admin"))]
pub(crate) use self::absent::Admin;
#[cfg(feature = "admin")]
pub(crate) use self::listener::Admin;
pub(crate) use self::params::AdminParams;
