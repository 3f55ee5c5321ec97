//! The schemas of `headwater.toml` and of WAGI's [`modules`]`.toml`: what a file may say, and errors that
//! name the place in it.
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
mod config_error;
mod duration;
mod file;
mod memory;
pub mod modules;
mod outgoing;
mod place;
mod range;
mod reference;
mod route;
mod schema;
mod secret;
mod service;
pub mod settings;
mod size;
mod suggestion;
mod value;

pub use builtin::{AnswerEntry, FilesEntry, RedirectEntry};
pub use cache_file::CacheFile;
pub use config_error::ConfigError;
pub use duration::{DurationError, parse_duration};
pub use file::File;
pub use memory::{MemoryError, parse_memory};
pub use outgoing::Outgoing;
pub use range::{RangeError, parse_range};
pub use reference::reference;
pub use route::{OnePlace, Place, Places};
pub use schema::schema;
pub use secret::{Secret, SecretError, SecretSource};
pub use service::{ClientCertificate, Guest, GuestTraceparent, Service};
pub use size::{SizeError, parse_size};
pub use value::{
    Count, CountError, ListenAddress, ListenError, Memory, Range, Rate, RateError, Size, Time,
};
