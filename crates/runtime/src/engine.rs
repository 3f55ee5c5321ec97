use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::code_cache::CodeCache;
use crate::neighbours::Neighbours;

/// How often running guests are made to yield their thread.
///
/// A guest that computes holds up the others on its thread for one or two ticks. Five milliseconds
/// is below what a person or a p99 notices and costs an idle host 200 wake-ups a second.
pub const EPOCH_TICK: Duration = Duration::from_millis(5);

/// Guest instances that can be alive at once, over all services, unless [`Engine::with_places`] says
/// otherwise.
///
/// Each reserves 4 GiB of address space (none of it memory until touched), so 1,000 take 4 TiB of
/// the 128 TiB that a process has.
const MAX_INSTANCES: u32 = 1_000;

/// What is tried where the address space is limited (`ulimit -v`, a small container).
const MAX_INSTANCES_LIMITED: u32 = 50;

/// Core module instances that one instance of a component may consist of, and tables.
///
/// Compilers emit three to five core modules, so this is a composition of forty components. It is what
/// the engine has room for where the address space is limited, so that each component that loads can be
/// instantiated.
const MAX_CORE_INSTANCES: u32 = MAX_INSTANCES_LIMITED * 4;

/// Linear memories of one instance of a component: one for each component of such a composition.
const MAX_MEMORIES: u32 = MAX_INSTANCES_LIMITED;

/// Bytes of a linear memory that stay mapped when its instance ends, so that the next instance does
/// not fault them in again: most services touch less than this.
const MEMORY_KEEP_RESIDENT: usize = 128 << 10;

/// The same for a table.
const TABLE_KEEP_RESIDENT: usize = 16 << 10;

/// The one wasmtime engine of the process, and the ticker that makes its guests yield.
///
/// Pooling allocation, copy-on-write memory images, epochs, the async component model. Compiled
/// code is cached on disk in wasmtime's cache directory.
#[derive(Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    neighbours: Arc<Neighbours>,
    _ticker: Arc<Ticker>,
}

/// How room for one more instance is made where all places of an [`Engine`] are taken. The default
/// knows of nobody who could give way.
#[derive(Clone, Default)]
pub struct Room(Arc<Neighbours>);

impl Room {
    /// Has a service end an instance that has nothing to do. Its place is free a moment later.
    ///
    /// Says whether there was any.
    pub fn make(&self) -> bool {
        self.0.evict_one()
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
        let wasmtime = Self::pooling(instances, cache)
            .or_else(|error| {
                tracing::warn!(
                    error = format_args!("{error:#}"),
                    instances = MAX_INSTANCES_LIMITED.min(instances),
                    "address space is limited: fewer instances can be alive at once",
                );
                Self::pooling(MAX_INSTANCES_LIMITED.min(instances), cache)
            })
            .map_err(EngineError)?;
        let ticker = Ticker::start(wasmtime.clone()).map_err(|error| EngineError(error.into()))?;
        Ok(Self {
            wasmtime,
            neighbours: Arc::default(),
            _ticker: Arc::new(ticker),
        })
    }

    /// The wasmtime engine.
    #[must_use]
    pub fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// A way to room for one more instance where all places are taken.
    #[must_use]
    pub fn room(&self) -> Room {
        Room(self.neighbours.clone())
    }

    /// The pools whose instances this engine runs.
    pub(crate) fn neighbours(&self) -> &Arc<Neighbours> {
        &self.neighbours
    }

    fn pooling(instances: u32, cache: &CodeCache) -> wasmtime::Result<wasmtime::Engine> {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(instances)
            // A component is made of several core modules; Rust's have three to five. And where there
            // are few places, the largest that is loaded has room in one of them.
            .total_core_instances((instances * 4).max(MAX_CORE_INSTANCES))
            // What takes address space, and so what bounds the instances of modules.
            .total_memories(instances)
            .total_tables((instances * 4).max(MAX_CORE_INSTANCES))
            // Of those that are alive, more than one may run for a request at once.
            .total_stacks(instances * 2)
            .max_core_instances_per_component(MAX_CORE_INSTANCES)
            .max_memories_per_component(MAX_MEMORIES.min(instances))
            .max_tables_per_component(MAX_CORE_INSTANCES)
            .max_memories_per_module(4)
            .max_tables_per_module(8)
            // Language runtimes have large function tables: CPython's has 12,000 entries.
            .table_elements(100_000)
            .linear_memory_keep_resident(MEMORY_KEEP_RESIDENT)
            .table_keep_resident(TABLE_KEEP_RESIDENT)
            // The scan resets only pages that are present when an instance ends. A dirty page that was
            // swapped out, or that the kernel is moving (memory compaction), is skipped, and the next
            // instance reads it (wasmtime pull request 14357, fixed in 50.0.0). Stays off on 48.
            .pagemap_scan(Enabled::No);

        let mut config = Config::new();
        config
            .wasm_component_model(true)
            .wasm_component_model_async(true)
            .epoch_interruption(true)
            .memory_init_cow(true)
            .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
            .cache(cache.open());
        wasmtime::Engine::new(&config)
    }
}

/// Increments the engine's epoch from a thread of its own, so that time passes for a guest that
/// keeps every executor thread busy.
struct Ticker {
    /// Dropped to end the thread, which waits on the other end.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let (stop, stopping) = mpsc::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("epoch-ticker".into())
            .spawn(move || {
                while let Err(mpsc::RecvTimeoutError::Timeout) = stopping.recv_timeout(EPOCH_TICK) {
                    engine.increment_epoch();
                }
            })?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // The thread wakes at once when its channel closes, and has nothing to report.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// wasmtime opens `/proc/self/pagemap` when an engine of the process asks for the scan, and keeps it
    /// open.
    #[cfg(target_os = "linux")]
    #[test]
    fn memory_is_reset_without_the_page_map_scan() {
        let _engine = Engine::new().unwrap();
        let open = std::fs::read_dir("/proc/self/fd")
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .any(|target| target.ends_with("pagemap"));
        assert!(!open, "an engine scans the page map, which leaks memory");
    }

    #[test]
    fn a_guest_that_spins_is_interrupted_by_the_ticker() {
        let engine = Engine::new().unwrap();
        let module = wasmtime::Module::new(
            engine.wasmtime(),
            r#"(module (func (export "spin") (loop (br 0))))"#,
        )
        .unwrap();
        let mut store = wasmtime::Store::new(engine.wasmtime(), ());
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
