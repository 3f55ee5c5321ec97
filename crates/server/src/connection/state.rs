//! The state that a connection's task, its stream and its requests share.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::Instant;

/// The state of a connection. Mostly only its own task uses it, so relaxed ordering is enough.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    begun: Instant,
    /// Requests whose response or body is not complete.
    in_flight: AtomicUsize,
    requests: AtomicU64,
    /// The time when the last request ended, in milliseconds since `begun`; or [`UNSEEN`].
    idle_since: AtomicU64,
    version: AtomicU8,
    /// True if bytes of a request have come, but not the whole head.
    expecting: AtomicBool,
    /// True if the timeout of a request's head is over.
    expired: AtomicBool,
    /// True if something was sent since the last check.
    sent: AtomicBool,
    /// True if the client does not take what is to be sent.
    stalled: AtomicBool,
    draining: AtomicBool,
    waker: AtomicWaker,
}

/// The clock was not read since the last request ended.
const UNSEEN: u64 = u64::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// The bytes so far could begin either.
    Unknown = 0,
    Http1 = 1,
    Http2 = 2,
}

/// A request in flight. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct ActiveRequest(Arc<ConnectionState>);

// === impl ConnectionState ===

impl ConnectionState {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            in_flight: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            version: AtomicU8::new(Version::Unknown as u8),
            expecting: AtomicBool::new(false),
            expired: AtomicBool::new(false),
            sent: AtomicBool::new(false),
            stalled: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        })
    }

    pub(crate) fn enter(self: &Arc<Self>) -> ActiveRequest {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.expecting.store(false, Ordering::Relaxed);
        ActiveRequest(Arc::clone(self))
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.in_flight.load(Ordering::Relaxed) > 0
    }

    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Returns when the connection became idle. For HTTP/1, that is the first call after the end of its last
    /// request, at most a quarter of a second later: reading the clock costs as much as many a step of a
    /// request.
    pub(crate) fn idle_since(&self) -> Instant {
        if self.idle_since.load(Ordering::Relaxed) == UNSEEN {
            self.rest();
        }
        self.begun + Duration::from_millis(self.idle_since.load(Ordering::Relaxed))
    }

    /// Marks the connection as idle from now on.
    pub(crate) fn rest(&self) {
        let since = self.begun.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(UNSEEN - 1);
        self.idle_since.store(since, Ordering::Relaxed);
    }

    fn left(&self) {
        match self.version() {
            // The clock is read only once the connection has been idle for a while.
            Version::Http2 => self.rest(),
            Version::Http1 | Version::Unknown => self.idle_since.store(UNSEEN, Ordering::Relaxed),
        }
    }

    pub(crate) fn version(&self) -> Version {
        match self.version.load(Ordering::Relaxed) {
            1 => Version::Http1,
            2 => Version::Http2,
            _ => Version::Unknown,
        }
    }

    pub(crate) fn set_version(&self, version: Version) {
        self.version.store(version as u8, Ordering::Relaxed);
    }

    pub(crate) fn received(&self) {
        if !self.is_busy() {
            self.expecting.store(true, Ordering::Relaxed);
        }
    }

    /// Returns true if a part of a head has come. HTTP/2 sends heads whole, and other frames.
    pub(crate) fn is_expecting(&self) -> bool {
        self.expecting.load(Ordering::Relaxed) && self.version() != Version::Http2
    }

    pub(crate) fn expire(&self) {
        self.expired.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired.load(Ordering::Relaxed)
    }

    pub(crate) fn sent(&self) {
        self.sent.store(true, Ordering::Relaxed);
    }

    pub(crate) fn set_stalled(&self, stalled: bool) {
        self.stalled.store(stalled, Ordering::Relaxed);
    }

    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Returns true if something was sent since the last call.
    pub(crate) fn take_sent(&self) -> bool {
        self.sent.swap(false, Ordering::Relaxed)
    }

    /// Starts the drain of this connection and wakes its task.
    pub(crate) fn drain(&self) {
        // Stored before the waker is taken, for a task that registers at the same time.
        self.draining.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Registers the waker. Call this before checking for a drain, so that none is missed.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Runs `work`; returns `None` if `grace` is over after a drain began. Cannot be used together with
    /// [`register`](Self::register).
    pub(crate) async fn until_drained<F: Future>(
        &self,
        work: F,
        grace: Duration,
    ) -> Option<F::Output> {
        let mut work = pin!(work);
        let drained = std::future::poll_fn(|cx| {
            self.register(cx.waker());
            if self.is_draining() {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        tokio::select! {
            done = &mut work => return Some(done),
            () = drained => {}
        }
        tokio::time::timeout(grace, work).await.ok()
    }
}

// === impl ActiveRequest ===

impl ActiveRequest {
    /// Adds a handle to the same request, which ends when the last handle is dropped.
    pub(crate) fn share(&self) -> Self {
        self.0.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.0.is_draining()
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        if self.0.in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.left();
        }
    }
}
