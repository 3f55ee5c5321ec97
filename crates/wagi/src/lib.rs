//! Runs WAGI modules: core modules on WASI preview1 (or preview0) that speak CGI on their standard
//! streams.
//!
//! The life of a request: `environment` and `argv` make the module's variables and arguments, a
//! fresh instance runs with the request's body as its stdin, and `response` parses its stdout.
//! Modules run as they are and are not converted to components, because many old ones cannot be
//! (`docs/decisions/0007-wagi-core-modules.md`).
//!
//! The behaviour is that of WAGI 0.8.1, the last version, where a module could rely on it. Plain
//! errors of WAGI are corrected. Each place says which of the two it is.
//!
//! ```no_run
//! use headwater_runtime::{Directory, Engine};
//! use headwater_wagi::{WagiModule, WagiSettings};
//!
//! # fn load() -> Result<(), Box<dyn std::error::Error>> {
//! let module = WagiModule::load(
//!     &Engine::new()?,
//!     &std::fs::read("guestbook.wasm")?,
//!     WagiSettings {
//!         volumes: vec![Directory {
//!             guest: "/".to_owned(),
//!             host: "entries".into(),
//!             read_only: false,
//!         }],
//!         ..WagiSettings::new("guestbook")
//!     },
//! )?;
//! // A `headwater_core::Handler`.
//! println!("{} imports", module.imports().count());
//! # Ok(())
//! # }
//! ```

mod argv;
mod authority;
mod cpu;
mod deadline;
mod descriptors;
mod dynamic;
mod environment;
mod error;
mod experimental_http;
mod head;
mod linker;
mod log_file;
#[cfg(feature = "measure")]
#[doc(hidden)]
pub mod measure;
mod module;
mod mount;
mod old_poll;
mod output;
mod places;
mod random;
mod reference;
mod response;
mod route;
mod run;
mod running;
mod settings;
mod snapshot;
mod stderr;
mod stdin;
mod strict;
mod unknown_imports;
mod vectored;
mod written_pages;

#[cfg(test)]
mod tests;

pub use dynamic::RoutesError;
pub use environment::SET_BY_HOST;
pub use error::WagiError;
pub use experimental_http::{AllowedHostsError, allowed_hosts};
pub use module::WagiModule;
pub use mount::{Health, Mount};
pub use reference::{ModuleReference, ReferenceError};
pub use settings::{Compat, ContextVariables, ResponseMode, WagiSettings};
pub use snapshot::{ENVIRONMENT_TARGET, Snapshot};
pub use stdin::UNSIZED_BODY;
pub use unknown_imports::UnknownImports;
