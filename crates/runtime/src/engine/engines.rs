use std::sync::OnceLock;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::initialization::Initialization;
use super::reclaim::{BATCH, Reclaim};
use crate::limits;
use crate::places::TABLES_PER_PLACE;

/// The default number of linear memories that instances of all services can have at once.
/// [`Engine::with_places`] overrides it.
///
/// Each reserves 4 GiB of address space (none of it memory until touched), so 1,000 take 4 TiB of
/// the 128 TiB that a process has.
///
/// [`Engine::with_places`]: super::Engine::with_places
pub(super) const PLACES: u32 = 1_000;

/// The number tried if the address space is limited (`ulimit -v`, a small container).
const PLACES_LIMITED: u32 = 50;

/// The maximum number of core module instances and of tables in one instance of a component. Compilers emit
/// three to five core modules, so this is a composition of forty components.
const MAX_CORE_INSTANCES: u32 = MAX_MEMORIES * 4;

/// The maximum number of linear memories in one instance of a component: one for each component of such a
/// composition. Available even if the address space is limited.
const MAX_MEMORIES: u32 = PLACES_LIMITED;

/// Bytes of an image-backed linear memory that stay mapped when its instance ends, so that the next instance
/// need not fault them in again.
const MEMORY_KEEP_RESIDENT: usize = 128 << 10;

/// As [`MEMORY_KEEP_RESIDENT`], for a table.
const TABLE_KEEP_RESIDENT: usize = 16 << 10;

/// A wasmtime engine for each [`Initialization`].
pub(super) struct Engines {
    copied: wasmtime::Engine,
    /// Made on first use: an engine takes address space and kernel memory, and most hosts have no guest for
    /// this one.
    copy_on_write: OnceLock<wasmtime::Engine>,
    reclaim: Reclaim,
    places: u32,
}

impl Engines {
    pub(super) fn new(places: u32) -> wasmtime::Result<Self> {
        let (copied, places) = engine(Initialization::Copied, places)?;
        let reclaim = Reclaim::default();
        reclaim.add(Initialization::Copied as usize, &copied)?;
        Ok(Self {
            reclaim,
            copied,
            copy_on_write: OnceLock::new(),
            places,
        })
    }

    #[cfg(any(test, feature = "measure"))]
    pub(super) fn only(engine: wasmtime::Engine) -> Self {
        Self {
            copied: engine.clone(),
            copy_on_write: engine.into(),
            reclaim: Reclaim::default(),
            places: PLACES,
        }
    }

    /// Returns the number of memories that each engine has room for.
    pub(super) fn places(&self) -> u32 {
        self.places
    }

    /// Returns one of the engines, to find out what code is compiled for: they differ in nothing else.
    pub(super) fn any(&self) -> &wasmtime::Engine {
        &self.copied
    }

    pub(super) fn for_guest(&self, binary: &[u8]) -> wasmtime::Result<&wasmtime::Engine> {
        match Initialization::of(binary) {
            Initialization::Copied => Ok(&self.copied),
            Initialization::CopyOnWrite => {
                if let Some(engine) = self.copy_on_write.get() {
                    return Ok(engine);
                }
                // Two threads may make one at the same time; the second is dropped.
                let (engine, _) = engine(Initialization::CopyOnWrite, self.places)?;
                let engine = self.copy_on_write.get_or_init(|| engine);
                self.reclaim
                    .add(Initialization::CopyOnWrite as usize, engine)?;
                Ok(engine)
            }
        }
    }

    /// Returns the handle that gives the memory of ended instances back.
    pub(super) fn reclaim(&self) -> &Reclaim {
        &self.reclaim
    }

    pub(super) fn increment_epochs(&self) {
        self.copied.increment_epoch();
        if let Some(engine) = self.copy_on_write.get()
            && !wasmtime::Engine::same(engine, &self.copied)
        {
            engine.increment_epoch();
        }
    }
}

/// Makes an engine with this many places, or fewer if the address space is limited. Returns the number.
fn engine(
    initialization: Initialization,
    places: u32,
) -> wasmtime::Result<(wasmtime::Engine, u32)> {
    let make = |places| {
        let engine = wasmtime::Engine::new(&config(initialization, places))?;
        Ok((engine, places))
    };
    make(places).or_else(|error: wasmtime::Error| {
        let limited = PLACES_LIMITED.min(places);
        tracing::warn!(
            error = format_args!("{error:#}"),
            places = limited,
            "address space is limited (`ulimit -v`): there is room for fewer instances at once; raise the \
             limit, or set `places` in [server] (--places) to as many as fit, each of which takes 4 GiB",
        );
        make(limited)
    })
}

fn config(initialization: Initialization, places: u32) -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .memory_init_cow(initialization == Initialization::CopyOnWrite)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(allocation(
            initialization,
            places,
        )));
    config
}

/// Returns the capacity of an engine. [`Places`](crate::places::Places) counts both engines together, so
/// these limits are reached only while memory that was given back is still being reset.
fn allocation(initialization: Initialization, places: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    // Each instance takes at least one place.
    pool.total_component_instances(places)
        // These cost only a few bytes each.
        .total_core_instances(places * MAX_CORE_INSTANCES)
        .total_memories(places)
        .total_tables(places * TABLES_PER_PLACE)
        // One for each store. It takes one of the memories.
        .total_gc_heaps(places)
        // More than one live stack may run for a request at once.
        .total_stacks(places * 2)
        .max_core_instances_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_component(MAX_MEMORIES)
        .max_tables_per_component(MAX_CORE_INSTANCES)
        .max_memories_per_module(4)
        .max_tables_per_module(8)
        .table_elements(limits::MAX_TABLE_ELEMENTS)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        // The scan resets only pages that are present when an instance ends. A dirty page that was
        // swapped out, or that the kernel is moving (memory compaction), is skipped, and the next
        // instance reads it (wasmtime pull request 14357, fixed in 50.0.0). Stays off on 48:
        // `docs/decisions/0010-memory-reset.md`.
        .pagemap_scan(Enabled::No)
        .decommit_batch_size(BATCH);
    if initialization == Initialization::CopyOnWrite {
        // If data is copied, nothing stays mapped: zeroing it by hand would be more work than the guest's
        // own touched pages.
        pool.linear_memory_keep_resident(MEMORY_KEEP_RESIDENT);
    }
    pool
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(data: usize) -> Vec<u8> {
        let data = "x".repeat(data);
        wat::parse_str(format!(
            r#"(module (memory 1024) (data (i32.const 0) "{data}"))"#
        ))
        .unwrap()
    }

    #[test]
    fn memory_is_reset_without_the_page_map_scan() {
        let engines = Engines::new(1).unwrap();
        for data in [0, 32 << 20] {
            let engine = engines.for_guest(&guest(data)).unwrap();
            let pool = engine.get_pooling_config().unwrap();
            assert_eq!(pool.get_pagemap_scan(), Enabled::No, "{data} bytes");
        }
    }

    #[test]
    fn little_data_is_copied_and_much_is_mapped() {
        let engines = Engines::new(1).unwrap();
        let cow = |data| {
            let engine = engines.for_guest(&guest(data)).unwrap();
            engine.get_memory_init_cow()
        };
        assert!(!cow(0));
        assert!(!cow(1 << 10));
        assert!(cow(32 << 20));
        assert!(wasmtime::Engine::same(
            engines.for_guest(&guest(0)).unwrap(),
            engines.for_guest(&guest(1)).unwrap()
        ));
    }
}
