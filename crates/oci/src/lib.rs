//! Fetches WebAssembly modules from OCI registries into a folder, by digest.
//!
//! Why not by `oci-client`: see `docs/decisions/0001-oci-client.md`.
//!
//! What the distribution specification asks of a client that only pulls is small: a manifest, a blob, a
//! token where the registry wants one. It is spoken here with the HTTP and TLS that Headwater has
//! anyway.
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
