//! Runs components for Headwater: the engine, loading and linking, instances and their reuse, and
//! the attribution of what guests do.
//!
//! A [`ComponentService`] is a [`headwater_core::Handler`]; how its instances are kept and what the
//! component-model call stack says about a guest's outgoing requests stays inside.

mod artifact;
mod attribution;
mod blueprint;
mod code_cache;
mod engine;
mod error_code;
mod forbidden;
mod hooks;
mod limits;
mod linker;
pub mod measure;
mod memory;
mod one_line;
mod outgoing;
mod output;
mod places;
mod pool;
mod promised_length;
mod request_body;
mod response;
mod service;
mod state;
mod threads;
mod unattributed;
mod world;

pub use artifact::{Artifact, ArtifactError};
pub use code_cache::{CodeCache, Compiler};
pub use engine::{EPOCH_TICK, Engine, EngineError};
pub use forbidden::{ForbiddenHeaders, NotAllowed};
pub use memory::MemoryBudget;
pub use one_line::one_line;
pub use output::{RequestStderr, ServiceOutput};
pub use places::{InstancePlaces, NoPlace, ServicePlaces, TooLarge};
pub use pool::{
    CircuitState, InstanceState, InstanceView, PoolOverrides, PoolSettings, PoolTotals, PoolView,
};
pub use service::{ComponentService, ComponentSettings, Directory, LoadError};
pub use threads::{GuestThreads, InstanceThread, OnThread, ServiceThreads};
pub use world::World;
