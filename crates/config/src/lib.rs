//! The schemas of `headwater.toml` and of WAGI's [`modules`]`.toml`: the keys and values of a file,
//! and errors that name the place in it.
//!
//! ```
//! let file = headwater_config::File::parse(
//!     r#"
//!     [[service]]
//!     name = "api"
//!     route = "/api/..."
//!     component = "api.wasm"
//!     allow_outgoing = ["https://api.example.com"]
//!     "#,
//! )
//! .unwrap();
//! assert_eq!(file.service[0].name, "api");
//! ```

mod builtin;
mod cache_file;
mod capability_key;
mod chain;
mod config_error;
mod file;
mod middleware;
pub mod modules;
mod other_manifest;
mod recovery;
mod reference;
mod route;
mod schema;
mod secret;
mod service;
pub mod settings;
mod source_span;
mod span_tree;
mod suggestion;
mod validate;
mod value;
mod warning;

pub use builtin::{AnswerEntry, FilesEntry, RedirectEntry};
pub use cache_file::CacheFile;
pub use capability_key::CapabilityKey;
pub use config_error::ConfigError;
pub use file::File;
pub use middleware::{Fail, LargerBodies, MiddlewareEntry};
pub use other_manifest::{OtherManifest, SpinComponent, SpinSource};
pub use reference::reference;
pub use route::{OneRoute, RouteConfig, RouteConfigs};
pub use schema::schema;
pub use secret::{Secret, SecretError, SecretSource};
pub use service::{ClientCertificate, Guest, Service};
pub use source_span::{Location, Source};
pub use suggestion::nearest;
pub use value::{
    Bounded, BoundedError, Count, CountError, ListenAddress, ListenError, Memory, MemoryError,
    Network, NetworkError, Range, RangeError, Rate, RateError, Size, SizeError, TcpAddress,
    TcpAddressError, Time, TimeError,
};
pub use warning::{Warning, WarningKind};
