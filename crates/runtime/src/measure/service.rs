//! A component in the instance pool, on an engine of one's own: what a setting of wasmtime's costs, and no
//! setting of Headwater's has.

use headwater_egress::Egress;
use wasmtime::component::Component;

use crate::engine::Room;
use crate::load_error::LoadError;
use crate::places::Places;
use crate::service::{ComponentService, ComponentSettings};
use crate::threads::GuestThreads;

/// As many as an engine has by itself.
const PLACES: u32 = 1_000;

/// Loads a component as [`ComponentService::load`] does, on this engine, which must have epochs and something
/// that increments them.
///
/// # Errors
///
/// As [`ComponentService::load`].
pub fn component_on(
    engine: &wasmtime::Engine,
    binary: &[u8],
    egress: Egress,
    settings: ComponentSettings,
) -> Result<ComponentService, LoadError> {
    let component =
        Component::new(engine, binary).map_err(|error| LoadError::of_compilation(&error))?;
    let room = Room {
        places: Places::new(PLACES),
        threads: GuestThreads::default(),
    };
    ComponentService::of(&component, &room, binary, egress, settings)
}
