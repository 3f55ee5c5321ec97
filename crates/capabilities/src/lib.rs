//! Host interfaces that guests may import besides WASI, one module each.
//!
//! A new one is a module here, a line in [`all`], and its documentation. See
//! [`headwater_runtime::capability`] for what it has to say of itself.

#![warn(missing_docs)]

mod config;

/// The programs of the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/how-to/add-a-host-interface.md")]
mod documentation {}

use headwater_runtime::Capabilities;

pub use config::{ConfigStore, ConfigValues};

/// All capabilities that Headwater has.
#[must_use]
pub fn all() -> Capabilities {
    Capabilities::default().with(ConfigStore)
}
