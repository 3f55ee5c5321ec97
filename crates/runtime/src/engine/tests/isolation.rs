//! A new instance finds its image or zeroes in every byte of its memory, whatever the kernel does with the
//! pages of the previous instance in its place.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::mm::{Advice, madvise};
use wasmtime::component::{Component, Linker};
use wasmtime::{
    Config, Enabled, Instance, InstanceAllocationStrategy, Module, PoolingAllocationConfig, Store,
};

use crate::engine::Engine;

/// Bytes of data that each kind of guest starts with: one is copied, one is mapped.
const IMAGES: [usize; 2] = [16 << 10, 4 << 20];

/// The address of the images.
const IMAGE_AT: usize = 64 << 10;

/// The number of successive instances whose pages are swapped out.
const ROUNDS: usize = 20;

/// The time for which instances follow one another while memory is compacted.
const COMPACTING: Duration = Duration::from_secs(2);

/// Swap and compaction affect the whole machine, so tests run one at a time.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A core module that writes to all of its memory, including what it grows by, and counts the words that
/// are neither zero nor its image's.
fn module(image: usize) -> String {
    format!(
        r#"(module
          (memory (export "memory") {pages})
          (table 100 funcref)
          (data (i32.const {IMAGE_AT}) "{data}")
          (func (export "look") (result i32) (local $at i32) (local $wrong i32) (local $end i32)
            (drop (memory.grow (i32.const 16)))
            (local.set $end (i32.mul (memory.size) (i32.const 65536)))
            (loop $next
              (local.set $wrong (i32.add (local.get $wrong) (i64.ne
                (i64.load (local.get $at))
                (if (result i64)
                  (i32.and
                    (i32.ge_u (local.get $at) (i32.const {IMAGE_AT}))
                    (i32.lt_u (local.get $at) (i32.const {end})))
                  (then (i64.const 0x5a5a5a5a5a5a5a5a))
                  (else (i64.const 0))))))
              (local.set $at (i32.add (local.get $at) (i32.const 8)))
              (br_if $next (i32.lt_u (local.get $at) (local.get $end))))
            (local.get $wrong))
          (func (export "mark")
            (memory.fill
              (i32.const 0) (i32.const 0xa5) (i32.mul (memory.size) (i32.const 65536)))))"#,
        pages = (image >> 16) + 32,
        data = "Z".repeat(image),
        end = IMAGE_AT + image,
    )
}

fn component(image: usize) -> String {
    format!(
        r#"(component
          (core module $m {})
          (core instance $i (instantiate $m))
          (func (export "look") (result u32) (canon lift (core func $i "look")))
          (func (export "mark") (canon lift (core func $i "mark"))))"#,
        module(image)
            .trim_start_matches("(module")
            .strip_suffix(')')
            .unwrap(),
    )
}

enum Guest {
    Module(Module),
    Component(Component),
}

impl Guest {
    fn module(engine: &wasmtime::Engine, image: usize) -> Self {
        Self::Module(Module::new(engine, module(image)).unwrap())
    }

    /// Runs one instance and returns the number of words that belong to others.
    fn live(&self, before_its_end: impl FnOnce()) -> u32 {
        match self {
            Self::Module(module) => {
                let mut store = Store::new(module.engine(), ());
                store.set_epoch_deadline(u64::MAX / 2);
                let instance = Instance::new(&mut store, module, &[]).unwrap();
                let look = instance.get_typed_func::<(), u32>(&mut store, "look");
                let wrong = look.unwrap().call(&mut store, ()).unwrap();
                let mark = instance.get_typed_func::<(), ()>(&mut store, "mark");
                mark.unwrap().call(&mut store, ()).unwrap();
                before_its_end();
                wrong
            }
            Self::Component(component) => {
                let engine = component.engine();
                let mut store = Store::new(engine, ());
                store.set_epoch_deadline(u64::MAX / 2);
                let instance = Linker::new(engine).instantiate(&mut store, component);
                let instance = instance.unwrap();
                let look = instance.get_typed_func::<(), (u32,)>(&mut store, "look");
                let (wrong,) = look.unwrap().call(&mut store, ()).unwrap();
                let mark = instance.get_typed_func::<(), ()>(&mut store, "mark");
                mark.unwrap().call(&mut store, ()).unwrap();
                before_its_end();
                wrong
            }
        }
    }
}

/// Guests of all kinds, each on an engine with a single place, so that each instance takes the place of the
/// previous one.
fn guests() -> Vec<(String, Engine, Guest)> {
    let mut guests = Vec::new();
    for image in IMAGES {
        for (kind, text) in [("module", module(image)), ("component", component(image))] {
            let binary = wat::parse_str(text).unwrap();
            let engine = Engine::with_cache(1, &crate::CodeCache::Off).unwrap();
            let wasmtime = engine.for_guest(&binary).unwrap();
            let guest = match kind {
                "module" => Guest::Module(Module::new(wasmtime, &binary).unwrap()),
                _ => Guest::Component(Component::new(wasmtime, &binary).unwrap()),
            };
            guests.push((
                format!("{kind}, {} KiB of data", image >> 10),
                engine,
                guest,
            ));
        }
    }
    guests
}

/// Swap space, if the machine has or allows it.
struct Swap(Option<tempfile::NamedTempFile>);

impl Swap {
    fn on() -> Option<Self> {
        let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
        if swaps.lines().count() > 1 {
            return Some(Self(None));
        }
        let mut file = tempfile::NamedTempFile::new().ok()?;
        file.write_all(&vec![0; 64 << 20]).ok()?;
        let run = |program: &str| {
            let output = Command::new(program).arg(file.path()).output();
            output.is_ok_and(|output| output.status.success())
        };
        (run("mkswap") && run("swapon")).then(|| Self(Some(file)))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        if let Some(file) = &self.0 {
            let _ = Command::new("swapoff").arg(file.path()).status();
        }
    }
}

/// Swaps out all writable pages of this process.
#[allow(
    unsafe_code,
    reason = "there is no safe madvise; this advice changes no content"
)]
fn page_out() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    for line in maps.lines().filter(|line| line.contains(" rw-p ")) {
        let range = line
            .split_whitespace()
            .next()
            .and_then(|r| r.split_once('-'));
        let (start, end) = range.unwrap();
        let [start, end] = [start, end].map(|at| usize::from_str_radix(at, 16).unwrap());
        // SAFETY: swapped-out pages come back unchanged when they are touched.
        let _ = unsafe {
            madvise(
                std::ptr::with_exposed_provenance_mut(start),
                end - start,
                Advice::LinuxPageOut,
            )
        };
    }
}

/// Runs stock wasmtime with the page-map scan, which leaves swapped-out pages to the next instance. If it
/// leaks nothing here, nothing was swapped out, and the tests would prove nothing.
fn scan_leaks(before_its_end: impl Fn()) -> Result<bool, wasmtime::Error> {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_memories(1)
        .total_tables(1)
        .linear_memory_keep_resident(128 << 10)
        .pagemap_scan(Enabled::Yes);
    let mut config = Config::new();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    let engine = wasmtime::Engine::new(&config)?;
    let guest = Guest::module(&engine, IMAGES[0]);
    Ok((0..ROUNDS)
        .map(|_| guest.live(&before_its_end))
        .any(|wrong| wrong > 0))
}

#[test]
fn a_new_instance_reads_nothing_of_the_last_one_whose_pages_were_sent_out() {
    let _alone = alone();
    let Some(_swap) = Swap::on() else {
        eprintln!("SKIPPED: this machine has no swap space and allows none (swapon needs root)");
        return;
    };
    match scan_leaks(page_out) {
        Ok(true) => {}
        Ok(false) => eprintln!(
            "SKIPPED in part: nothing leaks with the scan either, so no page was sent out"
        ),
        Err(error) => eprintln!("without a control: {error:#}"),
    }
    for (name, _engine, guest) in guests() {
        for round in 0..ROUNDS {
            assert_eq!(
                guest.live(page_out),
                0,
                "words of others, {name}, round {round}"
            );
        }
    }
}

/// Fragmented memory: every other page of it is free, so that compaction has something to move.
fn fragmented(bytes: usize) -> std::io::Result<fs::File> {
    let file = fs::File::from(memfd_create("fragmented", MemfdFlags::CLOEXEC)?);
    (&file).write_all(&vec![1; bytes])?;
    for page in (0..bytes as u64).step_by(8 << 10) {
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&file, flags, page, 4 << 10)?;
    }
    Ok(file)
}

#[test]
fn a_new_instance_reads_nothing_of_the_last_one_while_memory_is_compacted() {
    let _alone = alone();
    let compact = PathBuf::from("/proc/sys/vm/compact_memory");
    if let Err(error) = fs::write(&compact, "1") {
        eprintln!("SKIPPED: {} cannot be written: {error}", compact.display());
        return;
    }
    let guests = guests();
    let ended = Instant::now() + COMPACTING;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < ended {
                let _fragmented = fragmented(64 << 20).unwrap();
                fs::write(&compact, "1").unwrap();
            }
        });
        while Instant::now() < ended {
            for (name, _engine, guest) in &guests {
                assert_eq!(guest.live(|| ()), 0, "words of others, {name}");
            }
        }
    });
}
