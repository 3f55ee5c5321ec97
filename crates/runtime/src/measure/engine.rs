//! Headwater on a wasmtime engine of one's own: what a setting of wasmtime's costs, and no setting of
//! Headwater's has.

use crate::code_cache::CodeCache;
use crate::engine::{Engine, EngineError};

/// An engine that runs all guests on this wasmtime engine, which must have epochs.
///
/// # Errors
///
/// As [`Engine::new`].
pub fn engine_on(engine: wasmtime::Engine) -> Result<Engine, EngineError> {
    Engine::on(engine, &CodeCache::Off)
}
