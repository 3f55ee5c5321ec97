//! What a connection's task, its stream and its requests tell each other.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::task::{Poll, Waker};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::time::Instant;

/// The state of one connection. All of it is written and read by the connection's own task, mostly, so
/// that no order is needed beyond that of each value.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    begun: Instant,
    /// Requests, until the last byte of their response was handed over, and their bodies.
    in_flight: AtomicUsize,
    /// Requests that there ever were.
    requests: AtomicU64,
    /// When the last request ended, in milliseconds since `begun`; or [`UNSEEN`].
    idle_since: AtomicU64,
    version: AtomicU8,
    /// Bytes of a request have come, and not yet the request.
    expecting: AtomicBool,
    /// The time for a request's head is over.
    expired: AtomicBool,
    /// Something was sent since this was last looked at.
    sent: AtomicBool,
    /// Something is to be sent that the client does not take yet.
    stalled: AtomicBool,
    draining: AtomicBool,
    waker: AtomicWaker,
}

/// Nobody has looked at the clock since the last request ended.
const UNSEEN: u64 = u64::MAX;

/// Which protocol a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    /// What came so far could become either.
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

    /// A request has come.
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

    /// When the connection began to be idle: for one of HTTP/1, when that is first asked after the end of
    /// its last request, which is a quarter of a second later at most. A clock costs as much as many a
    /// thing that is done for a request.
    pub(crate) fn idle_since(&self) -> Instant {
        if self.idle_since.load(Ordering::Relaxed) == UNSEEN {
            self.rest();
        }
        self.begun + Duration::from_millis(self.idle_since.load(Ordering::Relaxed))
    }

    /// The connection is idle from now on.
    pub(crate) fn rest(&self) {
        let since = self.begun.elapsed().as_millis();
        let since = u64::try_from(since).unwrap_or(UNSEEN - 1);
        self.idle_since.store(since, Ordering::Relaxed);
    }

    /// The last request has ended.
    fn left(&self) {
        match self.version() {
            // Its clock is looked at when the connection has been idle for long, and not before.
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

    /// Something has come from the client.
    pub(crate) fn received(&self) {
        if !self.is_busy() {
            self.expecting.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a part of a head has come. HTTP/2 sends heads whole, and much else.
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

    /// Whether the client has to take something before anything can go on.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Whether something was sent since the last time that this was asked.
    pub(crate) fn take_sent(&self) -> bool {
        self.sent.swap(false, Ordering::Relaxed)
    }

    /// Wakes the connection's task, to come to an end.
    pub(crate) fn drain(&self) {
        // Before the waker is taken, for a task that registers just now.
        self.draining.store(true, Ordering::SeqCst);
        self.waker.wake();
    }

    /// Registers first, so that no drain is missed.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// What `work` gives, or `None` when a drain began and `grace` is over. Not to be used together
    /// with [`register`](Self::register).
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
    /// One more for the same request, which ends with the last of them.
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
