mod engines;
mod initialization;
mod ticker;

use std::sync::Arc;

use self::engines::{Engines, MAX_INSTANCES};
pub use self::ticker::EPOCH_TICK;
use self::ticker::Ticker;
use crate::code_cache::{CodeCache, Compiler};
use crate::neighbours::Neighbours;
use crate::threads::GuestThreads;

/// Runs the guests of the process: two wasmtime engines, and the ticker that makes their guests yield.
///
/// A wasmtime engine has one way to initialise and reset memory. Which is cheap depends on how much data a
/// guest starts with, so guests with little and guests with much have an engine each
/// ([`Engine::for_guest`]). Both have pooling allocation, epochs and the async component model. Compiled
/// code is kept on disk ([`CodeCache`]).
#[derive(Clone)]
pub struct Engine {
    engines: Arc<Engines>,
    compiler: Arc<Compiler>,
    neighbours: Arc<Neighbours>,
    threads: GuestThreads,
    _ticker: Arc<Ticker>,
}

/// How an instance gets its share of an [`Engine`]: room where all places are taken, and a thread. The
/// default knows of nobody who could give way.
#[derive(Clone, Default)]
pub struct Room {
    neighbours: Arc<Neighbours>,
    threads: GuestThreads,
}

impl Room {
    /// Has a service end an instance that has nothing to do. Its place is free a moment later.
    ///
    /// Says whether there was any.
    pub fn make(&self) -> bool {
        self.neighbours.evict_one()
    }

    /// The threads that guests run on.
    pub(crate) fn threads(&self) -> &GuestThreads {
        &self.threads
    }

    /// The pools whose instances the engine runs.
    pub(crate) fn neighbours(&self) -> &Arc<Neighbours> {
        &self.neighbours
    }
}

/// Why no engine could be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot set up the WebAssembly engine: {0:#}; Headwater needs a 64-bit Linux, macOS or Windows \
     machine that lets a process reserve address space (see `ulimit -v`)"
)]
pub struct EngineError(wasmtime::Error);

impl Engine {
    /// Makes the engine and starts its ticker.
    ///
    /// # Errors
    ///
    /// When this machine cannot run compiled WebAssembly.
    pub fn new() -> Result<Self, EngineError> {
        Self::with_places(MAX_INSTANCES)
    }

    /// The same, with places for so many instances at once. Each takes 4 GiB of address space.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_places(instances: u32) -> Result<Self, EngineError> {
        Self::with_cache(instances, &CodeCache::Default)
    }

    /// The same, with compiled code kept elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_cache(instances: u32, cache: &CodeCache) -> Result<Self, EngineError> {
        let engines = Arc::new(Engines::new(instances).map_err(EngineError)?);
        let threads = GuestThreads::default();
        let ticker = Ticker::start(engines.clone(), threads.clone())
            .map_err(|error| EngineError(error.into()))?;
        Ok(Self {
            engines,
            compiler: Arc::new(cache.open()),
            neighbours: Arc::default(),
            threads,
            _ticker: Arc::new(ticker),
        })
    }

    /// The wasmtime engine for this guest, a component or a module in binary form: by how much data its
    /// memories start with.
    ///
    /// Whatever else is made for the guest (linkers, stores) must be made with the same one.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`]: the engine for guests with much data is made when the first of them is loaded.
    pub fn for_guest(&self, binary: &[u8]) -> Result<&wasmtime::Engine, EngineError> {
        self.engines.for_guest(binary).map_err(EngineError)
    }

    /// What compiles guests for these engines.
    #[must_use]
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// The threads that guests run on.
    #[must_use]
    pub fn threads(&self) -> &GuestThreads {
        &self.threads
    }

    /// A way to room for one more instance where all places are taken.
    #[must_use]
    pub fn room(&self) -> Room {
        Room {
            neighbours: self.neighbours.clone(),
            threads: self.threads.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_spins_is_interrupted_by_the_ticker() {
        let engine = Engine::new().unwrap();
        for data in [0, 8 << 20] {
            let text = format!(
                r#"(module (memory 256) (data (i32.const 0) "{}")
                     (func (export "spin") (loop (br 0))))"#,
                "x".repeat(data)
            );
            let binary = wat::parse_str(text).unwrap();
            let engine = engine.for_guest(&binary).unwrap();
            let module = wasmtime::Module::new(engine, &binary).unwrap();
            let mut store = wasmtime::Store::new(engine, ());
            store.epoch_deadline_trap();
            store.set_epoch_deadline(2);
            let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
            let spin = instance
                .get_typed_func::<(), ()>(&mut store, "spin")
                .unwrap();
            let error = spin.call(&mut store, ()).unwrap_err();
            assert_eq!(
                error.downcast_ref::<wasmtime::Trap>(),
                Some(&wasmtime::Trap::Interrupt)
            );
        }
    }
}
