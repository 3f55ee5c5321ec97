//! Serves WebAssembly over HTTP in a program of your own, and knows for each outgoing request of a guest which
//! incoming request it was made for.
//!
//! A [`Host`] has services, each a component or a WAGI module with its grants, and listeners of its own. It
//! installs nothing for the process: no logger, no signal handler, no allocator. So there may be several in one
//! process.
//!
//! ```no_run
//! use headwater::{Host, Service};
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! let host = Host::builder()
//!     .service(Service::file("shop", "shop.wasm")?.allow_outgoing("https://api.example.com")?)
//!     .listen(([127, 0, 0, 1], 8080).into())
//!     .build()
//!     .await?;
//! let shutdown = CancellationToken::new();
//! host.run(shutdown).await;
//! # Ok(())
//! # }
//! ```
//!
//! Behind a server of your own, such as axum, a host without listeners is a tower service:
//! [`Host::http_service`].
//!
//! Logs and spans go to whichever `tracing` subscriber the program has; metrics to the meter that
//! [`HostBuilder::metrics`] is given. A host interface of your own is a
//! [`Capability`](capability::Capability).

#![warn(missing_docs)]

mod admin;
mod banner;
mod build;
mod check;
mod cli;
#[doc(hidden)]
pub mod command;
mod convert;
mod diagnostics;
mod exit;
mod host;
mod input;
mod metrics;
mod reload;
mod run;
mod serve;
mod service_registry;
mod spec;
#[cfg(feature = "wagi")]
mod wagi;
mod watch;

pub use headwater_config::settings::{ServerSettings, ServiceSettings};
pub use headwater_runtime::{Capabilities, GuestState, capability};
pub use headwater_server::{
    BoundAddress, ClientAddress, HttpService, ListenerParams, ServeOutcome, TlsParams,
};
pub use headwater_telemetry::Metrics;
/// Why a program without the feature `wagi` does not serve a module.
#[cfg(not(feature = "wagi"))]
const WITHOUT_WAGI: &str =
    "WAGI modules are not part of this program: build it with the feature `wagi`";

pub use host::{BuildError, Host, HostBuilder, Service};
