//! The threads that guests run on (`docs/decisions/0012-threads.md`).
//!
//! # The problem
//!
//! A guest yields its thread at each tick of the epoch. In wasmtime 48 some operations are not interrupted
//! by ticks: a bulk instruction (`memory.fill` over 256 MiB takes a tenth of a second, and more while pages
//! are touched for the first time), a copy between guest and host, the reset of a large memory. On the
//! serving threads, as many such guests as there are threads stop everything else, again and again.
//!
//! # The solution
//!
//! The duration of such an operation grows with the guest's memory. So most guests, which have little, run
//! on the thread that polls them, at the cost of four loads. The others are recognised in two ways:
//!
//! - A guest with more than [`LARGE`] bytes is large. It becomes large when it asks for the memory, and
//!   yields its thread before it gets it, so that no large guest is ever taken for a small one.
//! - A service is slow for a while after one of its guests did not yield its thread in [`LONG`].
//!
//! Such guests run where they are polled as long as one worker thread stays free. The next one hands its
//! worker over: tokio moves the worker's queue to another thread, and the guest has the old one to itself
//! until its poll is over ([`tokio::task::block_in_place`]). There are at most as many of those threads as
//! processors; other guests wait in the order of their arrival. The operating system shares the processors
//! between them and the workers.
//!
//! A worker is not handed over for each of them, since this is no way to stream: where processors are
//! short, a poll of a few microseconds also counts as long, and tokio starts a thread for each hand-over
//! that comes before the last thread is idle again. Each keeps about 1 MiB of free memory.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::Semaphore;
use tokio_util::sync::PollSemaphore;

/// The size of a guest's memory, in bytes, beyond which it is large. Filling this much takes about a tick.
const LARGE: usize = 32 << 20;

/// The ticks in one poll of a guest after which its service is slow. Ten times the normal duration: less
/// may be due to the operating system, which gave the processor to others.
const LONG: u64 = 10;

/// The ticks for which a service is slow after the last such poll: ten seconds.
const SLOW_FOR: u64 = 2_000;

/// The threads of one host, shared by its guests.
#[derive(Debug, Clone)]
pub struct GuestThreads(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    ticks: AtomicU64,
    /// The number of large guests, and guests of slow services, that hold a worker thread.
    on_workers: AtomicUsize,
    /// Permits to run on a thread that was a worker.
    handed_over: Arc<Semaphore>,
}

/// The threads of one service's guests.
#[derive(Debug, Clone)]
pub struct ServiceThreads {
    host: GuestThreads,
    slow_until: Arc<AtomicU64>,
}

/// The thread of one instance. Clones belong to the same instance.
#[derive(Debug, Clone)]
pub struct InstanceThread {
    service: ServiceThreads,
    large: Arc<AtomicBool>,
}

/// The work of one instance, from its start to its end. Each poll runs on a thread that may be held up.
pub struct OnThread<F> {
    thread: InstanceThread,
    /// None when the work is over.
    work: Option<Pin<Box<F>>>,
    turn: Option<PollSemaphore>,
}

/// Marks a worker thread as held by a large or slow guest until this is dropped.
struct OnWorker<'a>(&'a AtomicUsize);

// === impl GuestThreads ===

impl GuestThreads {
    pub(crate) fn tick(&self) {
        // No other memory depends on it.
        self.0.ticks.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the threads of a service's guests.
    #[must_use]
    pub fn service(&self) -> ServiceThreads {
        ServiceThreads {
            host: self.clone(),
            slow_until: Arc::default(),
        }
    }

    fn ticks(&self) -> u64 {
        self.0.ticks.load(Ordering::Relaxed)
    }

    /// Counts a guest that holds a worker thread, if fewer than `most` do.
    fn enter(&self, most: usize) -> Option<OnWorker<'_>> {
        let count = &self.0.on_workers;
        let fits = |now| (now < most).then_some(now + 1);
        count
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()
            .map(|_| OnWorker(count))
    }
}

impl Default for GuestThreads {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Shared {
            ticks: AtomicU64::new(0),
            on_workers: AtomicUsize::new(0),
            handed_over: Arc::new(Semaphore::new(processors)),
        }))
    }
}

impl Drop for OnWorker<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl ServiceThreads ===

impl ServiceThreads {
    /// Returns the thread of a new instance.
    #[must_use]
    pub fn instance(&self) -> InstanceThread {
        InstanceThread {
            service: self.clone(),
            large: Arc::default(),
        }
    }

    fn is_slow(&self, now: u64) -> bool {
        now < self.slow_until.load(Ordering::Relaxed)
    }

    /// Records a poll that began at one tick and ended at another.
    fn polled(&self, began: u64, ended: u64) {
        if ended.saturating_sub(began) >= LONG {
            self.slow_until.store(ended + SLOW_FOR, Ordering::Relaxed);
        }
    }
}

// === impl InstanceThread ===

impl InstanceThread {
    /// Records the guest's memory size. Returns true if it becomes large: then it must yield its thread
    /// before it gets the memory.
    #[must_use]
    pub(crate) fn has_memory(&self, bytes: usize) -> bool {
        bytes > LARGE && !self.large.swap(true, Ordering::Relaxed)
    }

    /// Wraps the work of the instance, which ends with it.
    pub fn run<F: Future>(&self, work: F) -> OnThread<F> {
        OnThread {
            thread: self.clone(),
            work: Some(Box::pin(work)),
            turn: None,
        }
    }

    fn is_large(&self) -> bool {
        self.large.load(Ordering::Relaxed)
    }
}

// === impl OnThread ===

impl<F: Future> OnThread<F> {
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(work) = &mut self.work else {
            return Poll::Pending;
        };
        let polled = work.as_mut().poll(cx);
        if polled.is_ready() {
            self.work = None;
        }
        polled
    }

    /// Polls without waiting for a turn. A pending permit would be granted and never released, and block
    /// others for ever.
    fn poll_at_once(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.turn = None;
        self.poll_work(cx)
    }

    /// Polls a guest that may not yield its thread in time.
    fn poll_apart(&mut self, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Some(workers) = workers() else {
            return self.poll_work(cx);
        };
        let host = self.thread.service.host.clone();
        if let Some(_held) = host.enter(workers.saturating_sub(1)) {
            return self.poll_at_once(cx);
        }
        let turn = self
            .turn
            .get_or_insert_with(|| PollSemaphore::new(host.0.handed_over.clone()));
        match turn.poll_acquire(cx) {
            // The semaphore is never closed.
            Poll::Ready(_permit) => tokio::task::block_in_place(|| self.poll_work(cx)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F: Future> Future for OnThread<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let began = this.thread.service.host.ticks();
        let polled = if this.thread.is_large() || this.thread.service.is_slow(began) {
            this.poll_apart(cx)
        } else {
            this.poll_at_once(cx)
        };
        let service = &this.thread.service;
        service.polled(began, service.host.ticks());
        polled
    }
}

impl<F> Drop for OnThread<F> {
    fn drop(&mut self) {
        // Dropping the work drops the instance and resets its memory.
        if let Some(work) = self.work.take()
            && self.thread.is_large()
            && workers().is_some()
        {
            tokio::task::block_in_place(|| drop(work));
        }
    }
}

/// Returns the number of worker threads of the current runtime. None if no thread can be handed over.
fn workers() -> Option<usize> {
    let handle = Handle::try_current().ok()?;
    (handle.runtime_flavor() == RuntimeFlavor::MultiThread).then(|| handle.metrics().num_workers())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Condvar, Mutex};
    use std::time::Duration;

    use tokio::runtime::{Builder, Runtime};
    use tokio::task::yield_now;

    use super::*;

    const WORKERS: usize = 2;

    /// Far longer than anything here takes: a failure is a hang.
    const HANGS: Duration = Duration::from_secs(60);

    /// Simulates guests that no tick interrupts, for as long as a test wants.
    #[derive(Clone)]
    struct Bulk {
        begun: Sender<()>,
        over: Arc<(Mutex<bool>, Condvar)>,
    }

    impl Bulk {
        fn new() -> (Self, Receiver<()>) {
            let (begun, begins) = channel();
            let over = Arc::default();
            (Self { begun, over }, begins)
        }

        fn run(&self) {
            self.begun.send(()).unwrap();
            let (over, changed) = &*self.over;
            let over = over.lock().unwrap();
            drop(changed.wait_while(over, |over| !*over).unwrap());
        }

        fn finish(&self) {
            let (over, changed) = &*self.over;
            *over.lock().unwrap() = true;
            changed.notify_all();
        }
    }

    fn runtime() -> Runtime {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .build()
            .unwrap()
    }

    /// Returns the highest number of guests held up at once.
    fn most(host: &GuestThreads) -> usize {
        WORKERS - 1 + host.0.handed_over.available_permits()
    }

    /// Asserts that a task that needs a worker several times gets it.
    fn others_are_served(runtime: &Runtime, host: &GuestThreads) {
        let (done, is_done) = channel();
        let small = host.service().instance();
        runtime.spawn(small.run(async move {
            for _ in 0..10 {
                tokio::spawn(yield_now()).await.unwrap();
            }
            done.send(()).unwrap();
        }));
        is_done.recv_timeout(HANGS).expect("others are held up");
    }

    #[test]
    fn large_guests_that_hold_their_threads_leave_the_others_a_worker() {
        let (runtime, host) = (runtime(), GuestThreads::default());
        let (bulk, begins) = Bulk::new();
        let most = most(&host);
        let service = host.service();
        let guests: Vec<_> = (0..2 * most)
            .map(|_| {
                let (thread, bulk) = (service.instance(), bulk.clone());
                let work = {
                    let thread = thread.clone();
                    async move {
                        assert!(thread.has_memory(LARGE + 1));
                        yield_now().await;
                        bulk.run();
                    }
                };
                runtime.spawn(thread.run(work))
            })
            .collect();
        for _ in 0..most {
            begins.recv_timeout(HANGS).unwrap();
        }
        others_are_served(&runtime, &host);
        assert!(begins.try_recv().is_err(), "too many at once");
        bulk.finish();
        for guest in guests {
            runtime.block_on(guest).unwrap();
        }
        assert_eq!(host.0.on_workers.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn guests_of_a_service_that_held_a_thread_for_long_leave_the_others_a_worker() {
        let (runtime, host) = (runtime(), GuestThreads::default());
        let (bulk, begins) = Bulk::new();
        let service = host.service();
        let slow = {
            let host = host.clone();
            async move { (0..LONG).for_each(|_| host.tick()) }
        };
        runtime
            .block_on(runtime.spawn(service.instance().run(slow)))
            .unwrap();
        let most = most(&host);
        let guests: Vec<_> = (0..2 * most)
            .map(|_| {
                let bulk = bulk.clone();
                runtime.spawn(service.instance().run(async move { bulk.run() }))
            })
            .collect();
        for _ in 0..most {
            begins.recv_timeout(HANGS).unwrap();
        }
        others_are_served(&runtime, &host);
        bulk.finish();
        for guest in guests {
            runtime.block_on(guest).unwrap();
        }
        // After good behaviour for a while, it counts as normal again.
        assert!(service.is_slow(host.ticks()));
        (0..SLOW_FOR).for_each(|_| host.tick());
        assert!(!service.is_slow(host.ticks()));
    }

    #[test]
    fn large_guests_whose_end_takes_long_leave_the_others_a_worker() {
        struct Memory(Bulk);
        impl Drop for Memory {
            fn drop(&mut self) {
                self.0.run();
            }
        }
        let (runtime, host) = (runtime(), GuestThreads::default());
        let (bulk, begins) = Bulk::new();
        for _ in 0..WORKERS {
            let thread = host.service().instance();
            let memory = Memory(bulk.clone());
            let (large, is_large) = channel();
            let work = {
                let thread = thread.clone();
                async move {
                    let _memory = memory;
                    assert!(thread.has_memory(LARGE + 1));
                    large.send(()).unwrap();
                    std::future::pending::<()>().await;
                }
            };
            let guest = runtime.spawn(thread.run(work));
            is_large.recv_timeout(HANGS).unwrap();
            guest.abort();
        }
        for _ in 0..WORKERS {
            begins.recv_timeout(HANGS).unwrap();
        }
        others_are_served(&runtime, &host);
        bulk.finish();
    }

    #[test]
    fn a_guest_that_goes_on_without_its_turn_keeps_none_from_others() {
        let (runtime, host) = (runtime(), GuestThreads::default());
        let _entered = runtime.enter();
        let turns = host.0.handed_over.clone();
        let all = turns.available_permits();
        let taken = turns
            .clone()
            .try_acquire_many_owned(all.try_into().unwrap());
        let service = host.service();
        let _on_worker = host.enter(WORKERS - 1).unwrap();
        let mut guest = service.instance().run(std::future::pending::<()>());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        service.slow_until.store(1, Ordering::Relaxed);
        assert!(Pin::new(&mut guest).poll(&mut cx).is_pending());
        // Its service is no longer slow.
        service.slow_until.store(0, Ordering::Relaxed);
        assert!(Pin::new(&mut guest).poll(&mut cx).is_pending());
        drop(taken);
        assert_eq!(turns.available_permits(), all);
    }

    #[test]
    fn where_there_is_one_thread_guests_run_on_it() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let thread = GuestThreads::default().service().instance();
        let work = {
            let thread = thread.clone();
            async move {
                assert!(thread.has_memory(LARGE + 1));
                yield_now().await;
                7
            }
        };
        assert_eq!(runtime.block_on(thread.run(work)), 7);
        drop(thread.run(async {}));
    }
}
