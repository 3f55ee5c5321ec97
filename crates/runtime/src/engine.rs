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
use crate::code_cache::{
    CodeCache, CodePlaces, CompiledCodeError, CompiledFiles, CompiledOutput, Compiler,
};
use crate::places::{Footprint, Places, ServicePlaces, TooLarge};
use crate::threads::GuestThreads;

/// Runs the guests of the process on two wasmtime engines, with a ticker that makes guests yield.
///
/// A wasmtime engine has one way to initialise and reset memory. The cheaper way depends on how much data a
/// guest starts with, so guests with little and with much data have an engine each ([`Engine::for_guest`]).
/// Both use pooling allocation, epochs and the async component model. Compiled code is kept on disk
/// ([`CodePlaces`]).
#[derive(Clone)]
pub struct Engine {
    engines: Arc<Engines>,
    compiler: Arc<Compiler>,
    /// The memories of both wasmtime engines together.
    places: Arc<Places>,
    threads: GuestThreads,
    _ticker: Arc<Ticker>,
}

/// The reason why no engine could be made.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot set up the WebAssembly engine: {0:#}; Headwater needs a 64-bit Linux machine \
     that lets a process reserve address space: raise its limit (`ulimit -v`), or lower `places` in \
     [server] (--places), each of which takes 4 GiB"
)]
pub struct EngineError(wasmtime::Error);

impl Engine {
    /// Makes the engine and starts its ticker.
    ///
    /// # Errors
    ///
    /// Returns an error if this machine cannot run compiled WebAssembly.
    pub fn new() -> Result<Self, EngineError> {
        Self::with_places(PLACES)
    }

    /// Makes an engine with this many places. Each reserves 4 GiB of address space; an instance takes one for
    /// each of its memories.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_places(places: u32) -> Result<Self, EngineError> {
        Self::with_cache(places, &CodeCache::Default)
    }

    /// Makes an engine with this many places and this code cache.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_cache(places: u32, cache: &CodeCache) -> Result<Self, EngineError> {
        Self::with_code(
            places,
            CodePlaces {
                cache: cache.clone(),
                compiled: None,
            },
        )
    }

    /// Makes an engine with this many places and these places of compiled code.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_code(places: u32, code: CodePlaces) -> Result<Self, EngineError> {
        let engines = Engines::new(places).map_err(EngineError)?;
        let compiler = Compiler::of_host(code, engines.any());
        Self::with_engines(engines, compiler)
    }

    /// Makes an engine that compiles guests into a directory. Then call
    /// [`finish_output`](Self::finish_output).
    ///
    /// # Errors
    ///
    /// As [`Engine::new`].
    pub fn with_output(places: u32, output: CompiledOutput) -> Result<Self, EngineError> {
        let engines = Engines::new(places).map_err(EngineError)?;
        Self::with_engines(engines, Compiler::into_output(output))
    }

    /// Marks the directory that guests were compiled into as complete. Returns `None` if there is
    /// no such directory.
    ///
    /// # Errors
    ///
    /// Returns an error if any code could not be written.
    pub fn finish_output(&self) -> Result<Option<CompiledFiles>, CompiledCodeError> {
        self.compiler.finish(self.engines.any())
    }

    /// Makes an engine that runs all guests on this wasmtime engine.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn on(engine: wasmtime::Engine, cache: &CodeCache) -> Result<Self, EngineError> {
        let code = CodePlaces {
            cache: cache.clone(),
            compiled: None,
        };
        let compiler = Compiler::of_host(code, &engine);
        Self::with_engines(Engines::only(engine), compiler)
    }

    /// Makes an engine whose guests are never made to yield, with this many places.
    #[cfg(any(test, feature = "measure"))]
    pub(crate) fn without_ticks(places: u32) -> Result<Self, EngineError> {
        let engines = Engines::new(places).map_err(EngineError)?;
        let code = CodePlaces {
            cache: CodeCache::Default,
            compiled: None,
        };
        let compiler = Compiler::of_host(code, engines.any());
        let (engines, threads) = (Arc::new(engines), GuestThreads::default());
        Ok(Self::with_ticker(
            engines,
            compiler,
            threads,
            Ticker::stopped(),
        ))
    }

    fn with_engines(engines: Engines, compiler: Compiler) -> Result<Self, EngineError> {
        let engines = Arc::new(engines);
        let threads = GuestThreads::default();
        let ticker = Ticker::start(engines.clone(), threads.clone())
            .map_err(|error| EngineError(error.into()))?;
        Ok(Self::with_ticker(engines, compiler, threads, ticker))
    }

    fn with_ticker(
        engines: Arc<Engines>,
        compiler: Compiler,
        threads: GuestThreads,
        ticker: Ticker,
    ) -> Self {
        Self {
            places: Places::new(engines.places()),
            engines,
            compiler: Arc::new(compiler),
            threads,
            _ticker: Arc::new(ticker),
        }
    }

    /// Returns the wasmtime engine for this guest, a component or a module in binary form. The choice depends
    /// on how much data the guest's memories start with.
    ///
    /// Everything else made for the guest (linkers, stores) must use the same engine.
    ///
    /// # Errors
    ///
    /// As [`Engine::new`]: the engine for guests with much data is made when the first of them is loaded.
    pub fn for_guest(&self, binary: &[u8]) -> Result<&wasmtime::Engine, EngineError> {
        self.engines.for_guest(binary).map_err(EngineError)
    }

    /// Returns the compiler of guests for these engines.
    #[must_use]
    pub fn compiler(&self) -> &Compiler {
        &self.compiler
    }

    /// Returns the threads that guests run on.
    #[must_use]
    pub fn threads(&self) -> &GuestThreads {
        &self.threads
    }

    /// Gives a service its share of the places. Its guest was compiled from `binary` and needs these
    /// resources.
    ///
    /// # Errors
    ///
    /// Returns an error if one instance needs more than the engine ever has.
    pub fn join(
        &self,
        service: Arc<str>,
        resources: &ResourcesRequired,
        binary: &[u8],
    ) -> Result<ServicePlaces, TooLarge> {
        let footprint = Footprint::new(resources, binary);
        self.places.join(service, footprint)
    }

    /// Returns the handle that gives the memory of ended instances back.
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
