//! Host interfaces that guests may import besides WASI, one module each.
//!
//! A new interface needs a module here, a line in [`all`], and documentation.
//! [`headwater_runtime::capability`] describes what to implement.

#![warn(missing_docs)]

mod config;

/// Compiles the programs in the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/how-to/add-a-host-interface.md")]
mod documentation {}

use headwater_runtime::Capabilities;

pub use config::{ConfigStore, ConfigValues};

/// Returns all capabilities of Headwater.
#[must_use]
pub fn all() -> Capabilities {
    Capabilities::default().with(ConfigStore)
}
