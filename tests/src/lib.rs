//! The harness of the end-to-end tests, the demo and the benchmark: the real binary, real sockets,
//! real guests.
//!
//! A [`Host`] is a running `headwater`, an [`Upstream`] is a server that guests call, a [`Client`]
//! is a user. An [`attribution::Ledger`] records which trace id was sent with which tag, and
//! compares that with what the upstream received.

pub mod admin;
pub mod attribution;
pub mod certificates;
pub mod client;
pub mod collector;
pub mod crafted;
pub mod crooked;
pub mod curl;
pub mod echo;
pub mod frames;
pub mod guests;
pub mod h2load;
pub mod host;
pub mod instances;
pub mod isolation;
pub mod load;
pub mod memory_pressure;
pub mod metrics;
pub mod modules;
pub mod nginx;
pub mod outgoing_soak;
pub mod output;
pub mod patience;
pub mod pattern;
pub mod probe;
pub mod process;
pub mod programs;
pub mod prove;
pub mod refusal;
pub mod registry;
pub mod services;
pub mod settings;
pub mod steady;
pub mod tier;
pub mod tls;
pub mod trace_context;
pub mod trace_file;
pub mod trees;
pub mod upstream;

pub use admin::Admin;
pub use client::{Answer, Client};
pub use crooked::Crooked;
pub use curl::Curl;
pub use h2load::H2load;
pub use host::{Finished, Host};
pub use modules::Modules;
pub use patience::{sooner, within};
pub use services::Services;
pub use tier::by_tier;
pub use upstream::Upstream;
