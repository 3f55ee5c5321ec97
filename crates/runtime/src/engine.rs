mod engines;
mod initialization;
mod reclaim;
mod ticker;

use std::sync::Arc;

use wasmtime::ResourcesRequired;

use self::engines::{Engines, PLACES};
pub use self::reclaim::{Ended, Reclaim};
pub use self::ticker::EPOCH_TICK;
use self::ticker::Ticker;
use crate::code_cache::{CodeCache, Compiler};
use crate::places::{Footprint, Places, ServicePlaces, TooLarge};
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
    /// The memories, of both wasmtime engines together.
    places: Arc<Places>,
    threads: GuestThreads,
    _ticker: Arc<Ticker>,
}

/// Why no engine could be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot set up the WebAssembly engine: {0:#}; Headwater needs a 64-bit Linux, macOS or Windows \
     machine that lets a process reserve address space: raise its limit (`ulimit -v`), or lower `places` in \
     [server] (--places), each of which takes 4 GiB"
)]
pub struct EngineError(wasmtime::Error);

impl Engine {
    /// Makes the engine and starts its ticker.
    ///
    /// # Errors
    ///
    /// When this machine cannot run compiled WebAssembly.
    pub fn new() -> Result<Self, EngineError> {
        Self::with_places(PLACES)
    }

    /// The same, with so many places. Each takes 4 GiB of address space; an instance takes one for each of its
    /// memories.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_places(places: u32) -> Result<Self, EngineError> {
        Self::with_cache(places, &CodeCache::Default)
    }

    /// The same, with compiled code kept elsewhere.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_cache(places: u32, cache: &CodeCache) -> Result<Self, EngineError> {
        let engines = Engines::new(places).map_err(EngineError)?;
        Self::with_engines(engines, cache)
    }

    /// One that runs all guests on this wasmtime engine.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn on(engine: wasmtime::Engine, cache: &CodeCache) -> Result<Self, EngineError> {
        Self::with_engines(Engines::only(engine), cache)
    }

    fn with_engines(engines: Engines, cache: &CodeCache) -> Result<Self, EngineError> {
        let engines = Arc::new(engines);
        let threads = GuestThreads::default();
        let ticker = Ticker::start(engines.clone(), threads.clone())
            .map_err(|error| EngineError(error.into()))?;
        Ok(Self {
            places: Places::new(engines.places()),
            engines,
            compiler: Arc::new(cache.open()),
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

    /// Gives a service its share of the places, for instances of a guest that was compiled from `binary`
    /// and takes these resources.
    ///
    /// # Errors
    ///
    /// When there is never room for one instance.
    pub fn join(
        &self,
        service: Arc<str>,
        resources: &ResourcesRequired,
        binary: &[u8],
    ) -> Result<ServicePlaces, TooLarge> {
        let footprint = Footprint::new(resources, binary);
        self.places.join(service, footprint)
    }

    /// What gives the memory of ended instances back.
    #[must_use]
    pub fn reclaim(&self) -> &Reclaim {
        self.engines.reclaim()
    }
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    mod isolation;

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
