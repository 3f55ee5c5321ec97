//! The threads that serve connections and run the instances for their requests.

use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

thread_local! {
    static CURRENT: Cell<Option<ThreadKey>> = const { Cell::new(None) };
}

/// Threads that each have a single-threaded tokio runtime. Dropping this ends them when they are idle
/// or yield.
#[derive(Debug)]
pub struct ServingThreads(Vec<Running>);

#[derive(Debug)]
struct Running {
    serving: ServingThread,
    /// Dropped to end the thread.
    end: oneshot::Sender<Duration>,
    thread: JoinHandle<()>,
}

/// One serving thread, from the outside.
#[derive(Debug, Clone)]
pub(super) struct ServingThread {
    pub(super) key: ThreadKey,
    pub(super) handle: Handle,
}

/// The key of a serving thread. Never used twice in a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ThreadKey(pub(crate) u64);

/// Restores the thread's own key when dropped.
pub(super) struct Entered(Option<ThreadKey>);

/// Returns the key of the current thread, if it is a serving thread or works for one.
pub(crate) fn current() -> Option<ThreadKey> {
    CURRENT.get()
}

/// Makes the current thread work for a serving thread until the result is dropped.
pub(super) fn enter(thread: Option<ThreadKey>) -> Entered {
    Entered(CURRENT.replace(thread))
}

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

// === impl ServingThreads ===

impl ServingThreads {
    /// Starts this many threads.
    ///
    /// # Errors
    ///
    /// Returns an error if the system refuses a thread or what its runtime needs.
    pub fn start(count: usize) -> io::Result<Self> {
        (0..count)
            .map(Running::start)
            .collect::<io::Result<_>>()
            .map(Self)
    }

    /// Returns the threads' runtimes.
    #[must_use]
    pub fn runtimes(&self) -> Vec<Handle> {
        let handles = self.0.iter();
        handles.map(|it| it.serving.handle.clone()).collect()
    }

    /// Ends the threads and their tasks. Waits up to `within` for blocking operations, in each of them. Call
    /// it where a thread may block.
    pub fn end(self, within: Duration) {
        let threads: Vec<_> = self
            .0
            .into_iter()
            .map(|running| {
                // Fails only if the thread has ended.
                let _ = running.end.send(within);
                running.thread
            })
            .collect();
        for thread in threads {
            // A panic was reported by its hook.
            let _ = thread.join();
        }
    }

    pub(super) fn threads(&self) -> Vec<ServingThread> {
        self.0
            .iter()
            .map(|running| running.serving.clone())
            .collect()
    }
}

impl Running {
    fn start(number: usize) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let serving = ServingThread {
            key: ThreadKey(NEXT.fetch_add(1, Ordering::Relaxed)),
            handle: runtime.handle().clone(),
        };
        let key = serving.key;
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(format!("serving-{number}"))
            .spawn(move || {
                CURRENT.set(Some(key));
                let within = runtime.block_on(ended).unwrap_or_default();
                runtime.shutdown_timeout(within);
            })?;
        Ok(Self {
            serving,
            end,
            thread,
        })
    }
}
