//! The admin listener: for the one who operates the host, apart from where clients come.
//!
//! It is on this machine only unless another address is given. It asks for a token if there is one, and
//! otherwise refuses what a browser sends on behalf of a page: see [`guard`]. A second listener has what
//! probes and Prometheus ask for, and no more.

#[cfg(not(feature = "admin"))]
mod absent;
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
