use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::{Engine, Instance, Module, Store};

/// Regions of memory that wasmtime resets by one system call, where data is copied.
///
/// Each memory and each table of an ended instance is one. Resetting them one by one makes the processors
/// interrupt each other for each; beyond some hundred that cost does not show any more.
pub(super) const BATCH: usize = 128;

/// Bytes of ended instances' memories that a thread lets wait for a batch to be full.
///
/// A batch is full by the number of its regions, and each may be as large as a guest's memory: of guests
/// with 256 MiB, a batch would keep 16 GiB. Small guests have 1 to 2 MiB, most of it never touched, so
/// theirs is full by number first.
const MOST_WAITING: usize = 64 << 20;

/// Tables of one instance of [`FILLER`]: as many as an engine with a single place has.
const TABLES: usize = 4;

/// What fills a batch: nothing of it needs to be reset.
const FILLER: &str =
    "(module (table 1 funcref) (table 1 funcref) (table 1 funcref) (table 1 funcref))";

thread_local! {
    /// Bytes that this thread has let wait. wasmtime has a queue for each thread, too (some share one).
    static WAITING: Cell<usize> = const { Cell::new(0) };
}

/// Has the memory of ended instances given back to the system before a batch is full, where it is much. The
/// default does nothing.
///
/// wasmtime 48 does not count bytes and has no call for it, so the batch is filled with instances that have
/// nothing to reset.
#[derive(Clone, Default)]
pub struct Reclaim(Option<Arc<Filler>>);

struct Filler {
    engine: Engine,
    module: Module,
}

/// Notes an instance's memory as one that waits, when it is dropped: to be dropped after the store.
pub struct Ended {
    reclaim: Reclaim,
    bytes: Arc<AtomicUsize>,
}

impl Reclaim {
    /// Of an engine that resets in batches.
    pub(super) fn new(engine: &Engine) -> wasmtime::Result<Self> {
        Ok(Self(Some(Arc::new(Filler {
            engine: engine.clone(),
            module: Module::new(engine, FILLER)?,
        }))))
    }

    /// What is to be dropped after a store of this engine, whose memories have so many bytes at its end.
    #[must_use]
    pub fn after(&self, engine: &Engine, bytes: Arc<AtomicUsize>) -> Ended {
        let batches = self.0.as_ref();
        let batches = batches.is_some_and(|filler| Engine::same(&filler.engine, engine));
        Ended {
            reclaim: if batches { self.clone() } else { Self(None) },
            bytes,
        }
    }

    /// Gives back what this thread has let wait, if anything.
    pub fn give_back(&self) {
        if let Some(filler) = &self.0
            && WAITING.replace(0) > 0
        {
            filler.fill();
        }
    }
}

impl Filler {
    /// Fills the batch of this thread, so that it is reset.
    fn fill(&self) {
        for _ in 0..BATCH / TABLES {
            let mut store = Store::new(&self.engine, ());
            // Where there is no room for it, wasmtime has reset what waits to make some.
            let _ = Instance::new(&mut store, &self.module, &[]);
        }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(filler) = &self.reclaim.0 else {
            return;
        };
        let waiting = WAITING.get() + self.bytes.load(Ordering::Relaxed);
        if waiting < MOST_WAITING {
            WAITING.set(waiting);
        } else {
            WAITING.set(0);
            filler.fill();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::Arc;

    use crate::CodeCache;
    use crate::engine::Engine;

    /// Bytes that are resident in this process.
    #[allow(clippy::unwrap_used, reason = "a test reads it")]
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages = statm.split(' ').nth(1).unwrap();
        pages.parse::<usize>().unwrap() * rustix::param::page_size()
    }

    #[test]
    fn ended_instances_keep_no_more_than_some_of_their_memory_and_none_when_it_is_asked_for() {
        const MIB: usize = 1 << 20;
        const EACH: usize = 32 * MIB;
        let engine = Engine::with_cache(100, &CodeCache::Off).unwrap();
        let binary = wat::parse_str(
            r#"(module (memory 512)
                 (func (export "run") (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x2000000))))"#,
        )
        .unwrap();
        let wasmtime = engine.for_guest(&binary).unwrap();
        let module = wasmtime::Module::new(wasmtime, &binary).unwrap();
        let before = resident();
        let kept = || resident().saturating_sub(before);
        for _ in 0..21 {
            let _ended = engine.reclaim().after(wasmtime, Arc::new(EACH.into()));
            let mut store = wasmtime::Store::new(wasmtime, ());
            store.set_epoch_deadline(u64::MAX / 2);
            let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
            let run = instance.get_typed_func::<(), ()>(&mut store, "run");
            run.unwrap().call(&mut store, ()).unwrap();
        }
        assert!(kept() < 200 * MIB, "{} MiB of 672 stayed", kept() / MIB);
        // The last one waits still.
        let waiting = kept();
        engine.reclaim().give_back();
        assert!(kept() + EACH / 2 < waiting, "{} MiB stayed", kept() / MIB);
    }
}
