//! Host interfaces that guests may import besides WASI, one module each.
//!
//! A host offers [`all`] of them, or some by name; a service has what it is granted.
//!
//! ```no_run
//! use headwater_capabilities::ConfigStore;
//! use headwater_runtime::Capabilities;
//!
//! let offered = Capabilities::default().with(ConfigStore);
//! for key in offered.keys() {
//!     println!("a [[service]] grants it by `{}`", key.name);
//! }
//! ```
//!
//! A new interface needs a module here, a line in [`all`], and documentation.
//! [`headwater_runtime::capability`] describes what to implement.

#![warn(missing_docs)]

mod config;
mod context;

/// Compiles the programs in the documentation.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/how-to/add-a-host-interface.md")]
mod documentation {}

use headwater_runtime::Capabilities;

pub use config::{ConfigStore, ConfigValues};
pub use context::{ContextAccess, ContextGrant};

/// Returns all capabilities of Headwater.
#[must_use]
pub fn all() -> Capabilities {
    Capabilities::default()
        .with(ConfigStore)
        .with(ContextAccess)
}
