//! One connection to an upstream, and its use.
//!
//! hyper-util clones what a connector attaches to a connection for each request, before it hands the request
//! over, and keeps one clone itself. So the number of [`Lease`]s tells whether the connection is in use: with
//! only the pool's, it is not. A test checks that.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::Extensions;
use hyper_util::client::legacy::connect::CaptureConnection;
use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::EgressError;
use crate::limits::{RequestPermit, RequestPermits};
use crate::transport::ConnectionInfo;
use crate::waiters::{Upstream, Waiters};

#[derive(Debug)]
pub(crate) struct Connection {
    upstream: Upstream,
    info: ConnectionInfo,
    opened: Instant,
    /// The permits that its place comes from.
    places: RequestPermits,
    waiters: Arc<Waiters>,
    leases: AtomicUsize,
    /// The number of times a lease was cloned: at least once for each request, before it is handed over.
    handed: AtomicU64,
    /// Nanoseconds since `opened`; 0 if it was never used.
    idle_since: AtomicU64,
    requests: AtomicU64,
    closing: AtomicBool,
    /// The error that stops all reading from it.
    failure: OnceLock<EgressError>,
    /// True if its stream was dropped.
    gone: AtomicBool,
    /// A lease may be dropped on any thread, so the runtime is kept.
    runtime: Handle,
    /// `None` once the place was given away.
    place: Mutex<Option<RequestPermit>>,
    reader: Mutex<Option<Waker>>,
}

/// The pool's hold on a connection; each clone is that of a request.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Connection>);

/// How long a connection that was never used does not count as idle: it is on its way to its request, for a
/// moment on a machine that is not overloaded. If the request got another connection meanwhile, the pool
/// keeps this one without notice.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// How long such a connection stays open on any machine: closing it would fail its request.
const SURELY_THERE: Duration = Duration::from_secs(1);

/// How long a connection to be closed has to be unused. A request that gets a connection while it ends may be
/// lost in hyper: it is neither sent nor given back, and waits forever
/// (<https://github.com/hyperium/hyper/issues/4122> has the cause). Nearly all requests get a connection that
/// another has just left, so this is long beside the time from there to its use.
const LEFT_ALONE: Duration = Duration::from_millis(20);

// === impl Connection ===

impl Connection {
    pub(crate) fn new(
        upstream: Upstream,
        info: ConnectionInfo,
        place: RequestPermit,
        places: RequestPermits,
        waiters: Arc<Waiters>,
    ) -> Arc<Self> {
        Arc::new(Self {
            upstream,
            info,
            opened: Instant::now(),
            places,
            waiters,
            leases: AtomicUsize::new(0),
            handed: AtomicU64::new(0),
            idle_since: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            closing: AtomicBool::new(false),
            failure: OnceLock::new(),
            gone: AtomicBool::new(false),
            runtime: Handle::current(),
            place: Mutex::new(Some(place)),
            reader: Mutex::default(),
        })
    }

    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Returns true if it is to be closed: a request that still gets it is its last.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Returns since when it is unused; `None` if it is in use.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        if self.is_used() {
            return None;
        }
        match self.idle_since.load(Ordering::Relaxed) {
            0 if self.opened.elapsed() < ON_ITS_WAY => None,
            since => Some(self.opened + Duration::from_nanos(since)),
        }
    }

    pub(crate) fn is_used(&self) -> bool {
        self.leases.load(Ordering::SeqCst) > 1
    }

    /// Returns the number of requests that it was given, or a few times that: a change may mean another request.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Acquire)
    }

    /// Fails it for all its requests, because the upstream sent invalid data or too much.
    pub(crate) fn fail(&self, error: EgressError) {
        let _ = self.failure.set(error);
        self.wake_reader();
    }

    pub(crate) fn failure(&self) -> Option<&EgressError> {
        self.failure.get()
    }

    /// Closes it once it is unused, and gives its place away now. Returns `false` if it is in use, or is
    /// being closed already.
    ///
    /// A request that gets the connection meanwhile is still answered. Until then there is one connection too
    /// many.
    pub(crate) fn close(self: &Arc<Self>) -> bool {
        if self.is_used() || self.closing.swap(true, Ordering::SeqCst) {
            return false;
        }
        drop(self.place.lock().take());
        self.end_in_time();
        true
    }

    /// Gives the place of a connection that has become unused to a request that waits, unless that request
    /// will be given the connection itself.
    fn became_idle(self: &Arc<Self>) {
        if self.waiters.are_beside(&self.upstream) && self.places.are_taken() {
            self.close();
        }
    }

    /// Wakes its reader when it may end.
    fn end_in_time(self: &Arc<Self>) {
        match self.ends_in() {
            Duration::ZERO => self.wake_reader(),
            wait => {
                let connection = Arc::clone(self);
                self.runtime.spawn(async move {
                    tokio::time::sleep(wait).await;
                    connection.wake_reader();
                });
            }
        }
    }

    /// Returns the time until it may end, if it stays unused.
    fn ends_in(&self) -> Duration {
        let age = self.opened.elapsed();
        match self.idle_since.load(Ordering::Relaxed) {
            0 => SURELY_THERE.saturating_sub(age),
            since => (Duration::from_nanos(since) + LEFT_ALONE).saturating_sub(age),
        }
    }

    /// Returns true if its reader is to see the end; otherwise wakes the reader when that may change.
    pub(crate) fn is_at_end(&self, cx: &Context<'_>) -> bool {
        {
            let mut reader = self.reader.lock();
            match &mut *reader {
                Some(waker) => waker.clone_from(cx.waker()),
                reader @ None => *reader = Some(cx.waker().clone()),
            }
        }
        // Checked after the waker is stored: whoever changes either wakes it afterwards.
        self.is_closing() && !self.is_used() && self.ends_in().is_zero()
    }

    pub(crate) fn closed(&self) {
        self.gone.store(true, Ordering::SeqCst);
        drop(self.place.lock().take());
    }

    fn wake_reader(&self) {
        let reader = self.reader.lock();
        if let Some(waker) = &*reader {
            waker.wake_by_ref();
        }
    }
}

// === impl Lease ===

impl Lease {
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        connection.leases.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(connection))
    }

    /// Returns true if the connection is gone, and a request still has it besides the caller, which holds
    /// this lease and the client's copy: that request is lost.
    ///
    /// Does not work for HTTP/2, where many requests share a connection.
    pub(crate) fn is_lost(&self) -> bool {
        const OWN: usize = 2;
        self.0.gone.load(Ordering::SeqCst) && self.0.leases.load(Ordering::SeqCst) > OWN
    }

    /// Counts a request, and returns true if it is not the first.
    pub(crate) fn count_request(&self) -> bool {
        self.0.requests.fetch_add(1, Ordering::Relaxed) > 0
    }
}

impl Deref for Lease {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.0
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        self.0.handed.fetch_add(1, Ordering::Release);
        Self::new(&self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let connection = &self.0;
        if connection.leases.fetch_sub(1, Ordering::SeqCst) != 2 {
            return;
        }
        let since = connection.opened.elapsed().as_nanos();
        let since = u64::try_from(since).unwrap_or(u64::MAX).max(1);
        connection.idle_since.store(since, Ordering::Relaxed);
        if connection.is_closing() {
            connection.end_in_time();
        } else {
            connection.became_idle();
        }
    }
}

/// Returns the connection that a request was given, if it has one.
pub(crate) fn captured(connection: &CaptureConnection) -> Option<Lease> {
    let mut extras = Extensions::new();
    if let Some(connected) = &*connection.connection_metadata() {
        connected.get_extras(&mut extras);
    }
    extras.remove()
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use headwater_telemetry::Metrics;

    use super::*;
    use crate::connections::Connections;
    use crate::met::MetLimits;
    use crate::{EgressLimits, EgressShared};

    #[tokio::test]
    async fn a_request_is_lost_where_a_connection_is_gone_and_its_client_still_waits_for_it() {
        let (limits, shared) = (EgressLimits::default(), EgressShared::default());
        let service = "test".into();
        let met = MetLimits::new(&service, &limits, &shared);
        let connections = Connections::new(&service, &limits, &shared, &Metrics::default(), &met);
        let info = ConnectionInfo {
            peer: SocketAddr::from((Ipv4Addr::LOCALHOST, 80)),
            proxied: false,
            unverified: false,
        };
        let server: (Arc<str>, u16) = ("upstream.example".into(), 80);
        let place = connections.place(server.clone(), None).await.unwrap();
        let (_, connection) = connections.insert(server, info, place);
        // The pool's lease goes to the request along with the connection.
        let given = Lease::new(&connection);
        let noted = given.clone();
        let asks = noted.clone();
        assert!(!asks.is_lost());
        connection.closed();
        assert!(asks.is_lost());
        // The request was given back, and another connection sends it.
        drop(given);
        assert!(!asks.is_lost());
    }
}
