//! Fetches WebAssembly modules from OCI registries into a folder, by digest.
//!
//! It does not use `oci-client`: see `docs/decisions/0001-oci-client.md`. The distribution specification asks
//! little of a client that only pulls: a manifest, a blob, and a token if the registry wants one. This crate
//! does that with Headwater's own HTTP and TLS.
//!
//! ```no_run
//! use headwater_oci::{ModuleCache, Reference, Refresh};
//!
//! # async fn fetch() -> Result<(), headwater_oci::OciError> {
//! let cache = ModuleCache::new("modules", Refresh::Always);
//! let module = cache
//!     .fetch(&Reference::parse("registry.example.com/shop/cart:v1")?)
//!     .await?;
//! println!("{} from the {:?}", module.digest, module.origin);
//! # Ok(())
//! # }
//! ```

mod cache;
mod challenge;
mod credentials;
mod digest;
mod error;
mod manifest;
mod reference;
mod registry;

pub use cache::{Fetched, ModuleCache, Origin, Refresh};
pub use error::OciError;
pub use reference::Reference;
