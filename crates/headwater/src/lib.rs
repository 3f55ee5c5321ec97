//! Serves WebAssembly over HTTP in a program of your own, and knows for each outgoing request of a guest which
//! incoming request it was made for.
//!
//! A [`Host`] has services, each a component or a WAGI module with its grants, and listeners of its
//! own. It installs nothing in the process: no logger, no signal handler, no allocator. So one
//! process can have several hosts.
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
//! To use a host behind a server of your own, such as axum, build it without listeners: it is then
//! a tower service, [`Host::http_service`].
//!
//! Middlewares of the program are `tower` layers: [`HostBuilder::middleware`].
//!
//! Logs and spans go to the program's `tracing` subscriber; metrics go to the meter that
//! [`HostBuilder::metrics`] is given. A host interface of your own is a
//! [`Capability`](capability::Capability).

#![warn(missing_docs)]
#![cfg_attr(
    not(all(feature = "admin", feature = "wagi")),
    allow(dead_code, reason = "only these features use it")
)]

mod admin;
mod banner;
#[cfg(feature = "wagi")]
mod blocking;
mod build;
mod check;
mod cli;
#[doc(hidden)]
pub mod command;
mod compile;
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

pub use headwater_chain::{NextError, NextFuture, NextService};
pub use headwater_config::settings::{ServerSettings, ServiceSettings};
pub use headwater_core::{Body, BodyError, empty, full};
pub use headwater_runtime::{Capabilities, GuestState, capability};
pub use headwater_server::{
    BoundAddress, ClientAddress, HttpService, ListenerParams, ServeOutcome, TlsParams,
};
pub use headwater_telemetry::Metrics;
/// The error for a WAGI module in a program without the feature `wagi`.
#[cfg(not(feature = "wagi"))]
const WITHOUT_WAGI: &str =
    "this program was built without WAGI modules: build it with the feature `wagi`";

pub use host::{BuildError, Host, HostBuilder, Service};
