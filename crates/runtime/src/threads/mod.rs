//! The threads that guests run on (`docs/decisions/0012-threads.md`).
//!
//! # Serving threads
//!
//! A host has one [serving thread](ServingThreads) for each processor. Each has its own connections and
//! instances, so most requests never leave their thread: no other thread has to be woken, and the memory is
//! in that processor's cache.
//!
//! # Guests that compute
//!
//! What a serving thread has to do waits while one of its guests computes. A guest yields at each tick of the
//! epoch, but many guests that compute, or one with much to do in each tick, would hold up all connections of
//! the thread. In wasmtime 48 some operations are not even interrupted by ticks: a bulk instruction
//! (`memory.fill` over 256 MiB takes a tenth of a second, and more while pages are touched for the first
//! time), a copy between guest and host, the reset of a large memory.
//!
//! So each poll of such a guest runs on one of the host's computing threads ([`OnThread`]), and the operating
//! system shares the processors between those and the serving threads. The guests are recognised in two ways:
//!
//! - A service computes, for a while, when polls of its guests take long ([`COMPUTES`], [`LONG`]).
//! - A guest with more than [`LARGE`] bytes of memory is large. It becomes large when it asks for the memory,
//!   and yields its thread before it gets it, so that no large guest is ever taken for a small one.

mod computing;
mod on_thread;
mod serving;

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use self::computing::ComputingThreads;
use self::serving::ServingThread;
use crate::engine::EPOCH_TICK;
use crate::meter::Mark;

pub use self::on_thread::OnThread;
pub use self::serving::ServingThreads;
pub(crate) use self::serving::{ThreadKey, current};

/// The size of a guest's memory, in bytes, beyond which it is large. Filling this much takes about a tick.
const LARGE: usize = 32 << 20;

/// The CPU time of an average poll from which on its service computes. Less is normal: an instance with many
/// requests does some work for each of them in one poll. And a poll on a computing thread costs some ten
/// microseconds more.
const COMPUTES: Duration = Duration::from_millis(1);

/// The part of the average that is due to the last poll. With the longest poll that counts, a guest which
/// computes without a pause is recognised at its second poll, but not a single poll that the machine's host
/// interrupted, which counts as CPU time on many virtual machines.
const WEIGHT: u64 = 8;

/// The longest time of a poll in the average: a tick.
const MOST: Duration = EPOCH_TICK;

/// The ticks in one poll of a guest from which on its service computes. Ten times the normal duration: less
/// may be due to the operating system, which gave the processor to others.
const LONG: u64 = 10;

/// The ticks for which a service computes after its average was that high: a tenth of a second. It goes on
/// while the average is at least a [`REST`] of [`COMPUTES`]. So a service that was taken for one by mistake,
/// such as one that streams, does not stay on threads where each part of a body wakes another thread.
const COMPUTES_FOR: u64 = 20;

/// See [`COMPUTES_FOR`].
const REST: u32 = 4;

/// The ticks for which a service computes after a poll that took [`LONG`]: ten seconds.
const LONG_FOR: u64 = 2_000;

/// The CPU time of polls is measured in one of this many ticks, because reading the thread's clock takes
/// a system call.
const MEASURED: u64 = 16;

/// The threads of one host, shared by its guests.
#[derive(Debug, Clone)]
pub struct GuestThreads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ticks: AtomicU64,
    serving: OnceLock<Vec<ServingThread>>,
    /// The serving thread that gets the next instance which no request asks for.
    next: AtomicUsize,
    /// Started when the first guest computes. None if the system refuses the threads.
    computing: OnceLock<Option<ComputingThreads>>,
}

/// The threads of one service's guests.
#[derive(Debug, Clone)]
pub struct ServiceThreads {
    host: GuestThreads,
    load: Arc<Load>,
}

/// What polls of a service's guests cost. Several threads may change it at once; a change that is lost does
/// not matter.
#[derive(Debug, Default)]
struct Load {
    /// The CPU time of the average poll, in nanoseconds.
    average: AtomicU64,
    /// The tick up to which the guests are expected to compute.
    computes_until: AtomicU64,
}

/// The thread of one instance. Clones belong to the same instance.
#[derive(Debug, Clone)]
pub struct InstanceThread {
    service: ServiceThreads,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    large: AtomicBool,
    /// True while a computing thread has the work.
    apart: AtomicBool,
}

// === impl GuestThreads ===

impl GuestThreads {
    pub(crate) fn tick(&self) {
        // No other memory depends on it.
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Runs instances on these serving threads. Without this, they run on the runtime that is current where
    /// they are started. Does nothing if called before.
    pub fn run_on(&self, serving: &ServingThreads) {
        // Keeps the first.
        let _ = self.0.serving.set(serving.threads());
    }

    /// Runs a job on each of the threads of guests that compute, after what they have to do. Returns true if
    /// all were done in time. Call it where a thread may block.
    pub fn run_on_computing(
        &self,
        job: impl Fn() + Send + Sync + 'static,
        within: Duration,
    ) -> bool {
        match self.0.computing.get() {
            Some(Some(threads)) => threads.run_on_each(job, within),
            _ => true,
        }
    }

    /// Returns the threads of a service's guests.
    #[must_use]
    pub fn service(&self) -> ServiceThreads {
        ServiceThreads {
            host: self.clone(),
            load: Arc::default(),
        }
    }

    fn ticks(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }

    fn computing(&self) -> Option<&ComputingThreads> {
        let start = || {
            // One more than what can run at once, so that a long operation that no tick interrupts does not
            // hold up all others on a machine with one processor.
            let count = std::thread::available_parallelism().map_or(1, usize::from) + 1;
            let started = ComputingThreads::start(count).inspect_err(|error| {
                tracing::warn!(
                    target: "headwater::host",
                    %error,
                    "no threads for guests that compute: they delay the requests of others"
                );
            });
            started.ok()
        };
        self.0.computing.get_or_init(start).as_ref()
    }
}

impl Default for GuestThreads {
    fn default() -> Self {
        Self(Arc::new(Shared {
            ticks: AtomicU64::new(0),
            serving: OnceLock::new(),
            next: AtomicUsize::new(0),
            computing: OnceLock::new(),
        }))
    }
}

// === impl ServiceThreads ===

impl ServiceThreads {
    /// Returns the thread of a new instance.
    #[must_use]
    pub fn instance(&self) -> InstanceThread {
        InstanceThread {
            service: self.clone(),
            state: Arc::default(),
        }
    }

    /// Starts a task for an instance on the serving thread with the lowest load, and returns its key. The
    /// current one counts as lower than others with the same load; if it is none, they take turns. Without
    /// serving threads, the task runs on the current runtime.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
        load: impl Fn(ThreadKey) -> usize,
    ) -> Option<ThreadKey> {
        let shared = &self.host.0;
        let serving = shared.serving.get().map_or(&[][..], Vec::as_slice);
        let here = current();
        let first = match serving.iter().position(|thread| Some(thread.key) == here) {
            Some(here) => here,
            None => shared.next.fetch_add(1, Ordering::Relaxed) % serving.len().max(1),
        };
        let (before, after) = serving.split_at(first);
        let in_turn = after.iter().chain(before);
        let Some(thread) = in_turn.min_by_key(|thread| load(thread.key)) else {
            tokio::spawn(task);
            return None;
        };
        thread.handle.spawn(task);
        Some(thread.key)
    }

    fn computes(&self, now: u64) -> bool {
        now < self.load.computes_until.load(Ordering::Relaxed)
    }

    fn compute_until(&self, tick: u64) {
        self.load.computes_until.fetch_max(tick, Ordering::Relaxed);
    }

    /// Adds the CPU time of a poll to the average, and returns that.
    fn average_with(&self, poll: Duration) -> Duration {
        let average = self.load.average.load(Ordering::Relaxed);
        let poll = u64::try_from(poll.min(MOST).as_nanos()).unwrap_or(u64::MAX);
        let average = average - average / WEIGHT + poll / WEIGHT;
        self.load.average.store(average, Ordering::Relaxed);
        Duration::from_nanos(average)
    }
}

// === impl InstanceThread ===

impl InstanceThread {
    /// Records the guest's memory size. Returns true if it becomes large: then it must yield its thread
    /// before it gets the memory.
    #[must_use]
    pub(crate) fn has_memory(&self, bytes: usize) -> bool {
        bytes > LARGE && !self.state.large.swap(true, Ordering::Relaxed)
    }

    /// Wraps the work of the instance, which ends with it.
    pub fn run<F>(&self, work: F) -> OnThread<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        OnThread::new(self.clone(), work)
    }

    /// Returns true while a computing thread polls the work: the work does not wait for anything.
    #[must_use]
    pub fn is_apart(&self) -> bool {
        self.state.apart.load(Ordering::Acquire)
    }

    fn is_large(&self) -> bool {
        self.state.large.load(Ordering::Relaxed)
    }

    /// Returns true if the next poll must not hold up the current thread.
    fn computes(&self) -> bool {
        self.is_large() || self.service.computes(self.service.host.ticks())
    }

    /// Runs a poll, and records if it took long. `suspect` is true if the last one may have. Returns true if
    /// this one may have.
    fn poll<T>(
        &self,
        suspect: bool,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
        cx: &mut Context<'_>,
    ) -> (Poll<T>, bool) {
        let host = &self.service.host;
        let began = host.ticks();
        let clock = (suspect || began.is_multiple_of(MEASURED)).then(Mark::of_thread);
        let polled = poll(cx);
        let ended = host.ticks();
        let average = clock.map(|began| {
            let poll = Mark::of_thread().since(began);
            self.service.average_with(poll)
        });
        if ended.saturating_sub(began) >= LONG {
            self.service.compute_until(ended + LONG_FOR);
        }
        let enough = match self.service.computes(began) {
            true => COMPUTES / REST,
            false => COMPUTES,
        };
        if average.is_some_and(|average| average >= enough) {
            self.service.compute_until(ended + COMPUTES_FOR);
        }
        (polled, ended != began)
    }
}

#[cfg(test)]
mod tests;
