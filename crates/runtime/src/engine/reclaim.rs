use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use wasmtime::{Engine, Instance, Module, Store};

/// Regions of memory that wasmtime resets in one system call.
///
/// Each memory and each table of an ended instance is one region. Each reset makes the processors interrupt each
/// other; in batches of more than about a hundred that cost no longer shows.
pub(super) const BATCH: usize = 128;

/// Bytes of ended instances' memories that may wait on a thread for a full batch.
///
/// A batch is full by its number of regions, and each may be as large as a guest's memory: with guests of 256
/// MiB a batch would keep 16 GiB. Small guests have a table and a memory of 1 to 2 MiB, mostly untouched, so
/// their batches are full by number first.
const MOST_WAITING: usize = 128 << 20;

/// Tables of one instance of [`FILLER`]: the number that an engine with a single place has.
const TABLES: usize = 4;

/// The module that fills a batch. Nothing of it needs a reset.
const FILLER: &str =
    "(module (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref))";

/// The number of engines that reset in batches: one for each
/// [`Initialization`](super::initialization::Initialization).
const ENGINES: usize = 2;

thread_local! {
    /// Bytes of each engine that wait on this thread. wasmtime's queues are per thread as well (some threads
    /// share one).
    static WAITING: [Cell<usize>; ENGINES] = const { [const { Cell::new(0) }; ENGINES] };
}

/// Gives the memory of ended instances back before a batch is full, if it is much. The default does nothing.
///
/// wasmtime 48 does not count bytes and has no call for this, so the batch is filled with instances that have
/// nothing to reset.
#[derive(Clone, Default)]
pub struct Reclaim(Arc<[OnceLock<Filler>; ENGINES]>);

struct Filler {
    engine: Engine,
    module: Module,
}

/// Counts an instance's memory as waiting when it is dropped. Must be dropped after the store.
pub struct Ended {
    reclaim: Reclaim,
    /// The number of the engine. None if the engine resets each instance by itself.
    of: Option<usize>,
    bytes: Arc<AtomicUsize>,
}

impl Reclaim {
    /// Adds an engine that resets in batches, under this number below [`ENGINES`].
    pub(super) fn add(&self, number: usize, engine: &Engine) -> wasmtime::Result<()> {
        let filler = Filler {
            engine: engine.clone(),
            module: Module::new(engine, FILLER)?,
        };
        // Two threads may do this at the same time; both fillers are of the same engine.
        let _ = self.0[number].set(filler);
        Ok(())
    }

    /// Returns the guard to drop after a store of this engine whose memories have this many bytes at its end.
    #[must_use]
    pub fn after(&self, engine: &Engine, bytes: Arc<AtomicUsize>) -> Ended {
        let is_its = |filler: &Filler| Engine::same(&filler.engine, engine);
        Ended {
            reclaim: self.clone(),
            of: self
                .0
                .iter()
                .position(|filler| filler.get().is_some_and(is_its)),
            bytes,
        }
    }

    /// Gives back the memory that waits on this thread.
    pub fn give_back(&self) {
        for number in 0..ENGINES {
            if waiting(number, |_| 0) > 0 {
                self.fill(number);
            }
        }
    }

    /// Fills this thread's batch of an engine, so that it is reset.
    fn fill(&self, number: usize) {
        if let Some(filler) = self.0[number].get() {
            filler.fill();
        }
    }
}

/// Changes the number of waiting bytes of an engine, and returns the old number.
fn waiting(number: usize, change: impl FnOnce(usize) -> usize) -> usize {
    WAITING.with(|waiting| {
        let before = waiting[number].get();
        waiting[number].set(change(before));
        before
    })
}

impl Filler {
    /// Fills the batch of this thread, so that it is reset.
    fn fill(&self) {
        for _ in 0..BATCH / TABLES {
            let mut store = Store::new(&self.engine, ());
            // If there is no room for the instance, wasmtime has reset the waiting memory to make some.
            let _ = Instance::new(&mut store, &self.module, &[]);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(number) = self.of else {
            return;
        };
        let bytes = self.bytes.load(Ordering::Relaxed);
        if waiting(number, |before| before + bytes) + bytes >= MOST_WAITING {
            waiting(number, |_| 0);
            self.reclaim.fill(number);
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;

    use crate::CodeCache;
    use crate::engine::Engine;

    const MIB: usize = 1 << 20;

    const EACH: usize = 64 * MIB;

    /// Returns the resident bytes of the mappings that contain memories of [`EACH`] at these addresses. One
    /// mapping may contain several. Other tests of this process have mappings of their own.
    #[allow(clippy::unwrap_used, reason = "a test reads it")]
    fn resident(addresses: &BTreeSet<usize>) -> usize {
        let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_asked_for = false;
        let mut bytes = 0;
        for line in smaps.lines() {
            let first = line.split(' ').next().unwrap_or_default();
            if let Some((begin, end)) = first.split_once('-') {
                let number = |text| usize::from_str_radix(text, 16).unwrap();
                let range = number(begin)..number(end);
                is_asked_for = addresses
                    .iter()
                    .any(|&address| address < range.end && range.start < address + EACH);
            } else if is_asked_for && first == "Rss:" {
                let kib = line.split_whitespace().nth(1).unwrap();
                bytes += kib.parse::<usize>().unwrap() << 10;
            }
        }
        bytes
    }

    #[test]
    fn ended_instances_keep_no_more_than_some_of_their_memory_and_none_when_it_is_asked_for() {
        let engine = Engine::with_cache(100, &CodeCache::Off).unwrap();
        for data in ["", &"x".repeat(1 << 20)] {
            keeps_little(&engine, data);
        }
    }

    #[allow(clippy::unwrap_used, reason = "a test calls it")]
    fn keeps_little(engine: &Engine, data: &str) {
        let text = format!(
            r#"(module (memory (export "memory") 1024) (data (i32.const 0) "{data}")
                 (func (export "run") (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x4000000))))"#,
        );
        let binary = wat::parse_str(text).unwrap();
        let wasmtime = engine.for_guest(&binary).unwrap();
        let module = wasmtime::Module::new(wasmtime, &binary).unwrap();
        let mut memories = BTreeSet::new();
        for _ in 0..21 {
            let _ended = engine.reclaim().after(wasmtime, Arc::new(EACH.into()));
            let mut store = wasmtime::Store::new(wasmtime, ());
            store.set_epoch_deadline(u64::MAX / 2);
            let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run");
            run.unwrap().call(&mut store, ()).unwrap();
            let memory = instance.get_memory(&mut store, "memory").unwrap();
            memories.insert(memory.data_ptr(&store).addr());
        }
        let kept = || resident(&memories);
        assert!(kept() < 400 * MIB, "{} MiB of 1,344 stayed", kept() / MIB);
        // The last one still waits.
        let waiting = kept();
        engine.reclaim().give_back();
        assert!(kept() + EACH / 2 < waiting, "{} MiB stayed", kept() / MIB);
    }
}
