//! Runs components for Headwater: the engine, loading and linking, instances and their reuse, and
//! the attribution of what guests do.
//!
//! A [`ComponentService`] is a [`headwater_core::Handler`]. The pool of its instances and the use of
//! the component-model call stack for attribution are private. Implement
//! [`Capability`](capability::Capability) for a host interface of your own.
//!
//! ```no_run
//! use headwater_core::Limits;
//! use headwater_runtime::{Capabilities, ComponentService, ComponentSettings, Engine};
//!
//! # fn load() -> Result<(), Box<dyn std::error::Error>> {
//! let engine = Engine::new()?;
//! let service = ComponentService::load(
//!     &engine,
//!     &std::fs::read("shop.wasm")?,
//!     ComponentSettings {
//!         service: "shop".into(),
//!         environment: vec![("STAGE".to_owned(), "test".to_owned())],
//!         directories: Vec::new(),
//!         limits: Limits::default(),
//!         forbidden_headers: Default::default(),
//!         pool: Default::default(),
//!         grants: Capabilities::default().nothing(),
//!         role: Default::default(),
//!         action: Default::default(),
//!         metrics: Default::default(),
//!     },
//! )?;
//! println!("{:?}, {:?}", service.world(), service.pool());
//! # Ok(())
//! # }
//! ```

mod action;
mod artifact;
mod attribution;
mod capabilities;
pub mod capability;
mod code_cache;
mod component_core;
mod engine;
mod error_code;
mod forbidden;
mod guest_name;
mod guest_state;
mod interface_name;
mod limits;
mod linker;
mod load_error;
#[cfg(any(test, feature = "measure"))]
#[doc(hidden)]
pub mod measure;
mod memory;
mod meter;
mod missing_imports;
mod next_handler;
mod one_line;
mod open_files;
mod outgoing_http;
mod output;
mod places;
mod pool;
mod promised_length;
mod service;
mod starling_monkey;
mod store_factory;
#[cfg(test)]
mod testing;
mod threads;
mod waker;
mod world;

pub use action::{ActionSettings, Hooks, LargerBodies};
pub use artifact::{Artifact, ArtifactError};
pub use capabilities::{AttributionScope, Capabilities, OutgoingGrant, OutgoingHttp};
pub use code_cache::{
    CodeCache, CodePlaces, CompiledCode, CompiledCodeError, CompiledFiles, CompiledOutput, Compiler,
};
pub use component_core::{component_core, component_core_of};
pub use engine::{EPOCH_TICK, Ended, Engine, EngineError, Reclaim};
pub use forbidden::{ForbiddenHeaders, NotAllowed};
pub use guest_state::GuestState;
pub use load_error::{LoadError, NoMiddleware};
pub use memory::MemoryBudget;
pub use missing_imports::MissingImports;
pub use one_line::one_line;
pub use open_files::{FilePermit, InstanceFiles, ServiceFiles};
pub use output::{RequestStderr, ServiceOutput};
pub use places::{InstancePlaces, NoPlace, ServicePlaces, TooLarge};
pub use pool::{
    AttributionMode, CircuitState, InstanceState, InstanceView, PoolOverrides, PoolSettings,
    PoolTotals, PoolView,
};
pub use service::{ComponentService, ComponentSettings, Role};
pub use store_factory::Directory;
pub use threads::{GuestThreads, InstanceThread, OnThread, ServiceThreads, ServingThreads};
pub use world::World;

/// The version of wasmtime that runs the guests.
pub use wasmtime_environ::VERSION as WASMTIME_VERSION;
