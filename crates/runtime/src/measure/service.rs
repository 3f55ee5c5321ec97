//! A component in the instance pool, on an engine of one's own: what a setting of wasmtime's costs, and no
//! setting of Headwater's has.

use std::sync::Arc;

use headwater_egress::Egress;

use crate::neighbours::Neighbours;
use crate::service::{ComponentService, ComponentSettings, LoadError};

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
    ComponentService::load_on(
        engine,
        &Arc::<Neighbours>::default(),
        binary,
        egress,
        settings,
    )
}
