//! One connection to an upstream, and who uses it.
//!
//! hyper-util clones what a connector attaches to a connection for everyone who is given it, before
//! the request is handed over, and keeps one clone itself. So the number of [`Lease`]s tells whether
//! anybody uses the connection: nobody does while there is only the pool's. A test holds it to that.

use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use http::Extensions;
use hyper_util::client::legacy::connect::CaptureConnection;
use tokio::runtime::Handle;

use crate::EgressError;
use crate::limits::{RequestPermit, RequestPermits};
use crate::transport::ConnectionInfo;
use crate::waiters::{Upstream, Waiters};

/// An open connection.
#[derive(Debug)]
pub(crate) struct Connection {
    upstream: Upstream,
    info: ConnectionInfo,
    opened: Instant,
    /// What it has a place of.
    places: RequestPermits,
    waiters: Arc<Waiters>,
    leases: AtomicUsize,
    /// How often a lease was cloned: at least once for each request, before it is handed over.
    handed: AtomicU64,
    /// Nanoseconds since `opened`; 0 for one that nobody has used yet.
    idle_since: AtomicU64,
    requests: AtomicU64,
    closing: AtomicBool,
    /// Why nothing more is to be read from it.
    failure: OnceLock<EgressError>,
    /// Its stream was dropped.
    gone: AtomicBool,
    /// Because a lease may be dropped on any thread.
    runtime: Handle,
    /// `None` once another has it.
    place: Mutex<Option<RequestPermit>>,
    /// Who reads from it.
    reader: Mutex<Option<Waker>>,
}

/// The pool's hold on a connection, and with each clone that of a request.
#[derive(Debug)]
pub(crate) struct Lease(Arc<Connection>);

/// A connection that nobody was given yet is on its way to whom it was made for, and is not taken
/// for idle for so long: a moment, on a machine that is not overloaded. If that one has found another
/// meanwhile, the pool keeps it without a word.
const ON_ITS_WAY: Duration = Duration::from_millis(20);

/// Nor does it end for so long, on any machine: an end would fail the request that it is for.
const SURELY_THERE: Duration = Duration::from_secs(1);

/// What is to be closed ends when nobody has used it for so long. A request that is given a connection
/// while it ends may be lost in hyper: it is neither sent nor given back, and waits for ever
/// (<https://github.com/hyperium/hyper/issues/4122> has the cause). Nearly all are given one that
/// somebody has just left, so this is long beside the time from there to being in use.
const LEFT_ALONE: Duration = Duration::from_millis(20);

// === impl Connection ===

impl Connection {
    /// One that was just made.
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

    /// Whose requests it is for, and to whom.
    pub(crate) fn upstream(&self) -> &Upstream {
        &self.upstream
    }

    /// What is known of it.
    pub(crate) fn info(&self) -> &ConnectionInfo {
        &self.info
    }

    /// Whether it is to be closed: whoever was given it all the same shall be the last.
    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// How long ago it was made.
    pub(crate) fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Since when nobody uses it. `None` if anybody does.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        if self.is_used() {
            return None;
        }
        match self.idle_since.load(Ordering::Relaxed) {
            0 if self.opened.elapsed() < ON_ITS_WAY => None,
            since => Some(self.opened + Duration::from_nanos(since)),
        }
    }

    /// Whether anybody uses it.
    pub(crate) fn is_used(&self) -> bool {
        self.leases.load(Ordering::SeqCst) > 1
    }

    /// How many requests it was given so far, and at most a few times as many: who sees another number
    /// than before may have another request.
    pub(crate) fn handed(&self) -> u64 {
        self.handed.load(Ordering::Acquire)
    }

    /// Fails it for everybody who uses it: what comes on it is not to be believed, or is too much.
    pub(crate) fn fail(&self, error: EgressError) {
        let _ = self.failure.set(error);
        self.wake_reader();
    }

    /// Why it is to fail.
    pub(crate) fn failure(&self) -> Option<&EgressError> {
        self.failure.get()
    }

    /// Closes it as soon as nobody uses it, and gives its place away now. Returns `false` if
    /// somebody uses it, or if it is being closed already.
    ///
    /// A request that is given the connection meanwhile is still answered. For so long there is one
    /// connection too many.
    pub(crate) fn close(self: &Arc<Self>) -> bool {
        if self.is_used() || self.closing.swap(true, Ordering::SeqCst) {
            return false;
        }
        drop(self.lock_place().take());
        self.end_in_time();
        true
    }

    /// Nobody uses it any more: whoever waits for its place gets it, but for those whom the connection itself
    /// will be given.
    fn became_idle(self: &Arc<Self>) {
        if self.waiters.are_beside(&self.upstream) && self.places.are_taken() {
            self.close();
        }
    }

    /// Has its reader look for its end when the time has come.
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

    /// How long until it may end, if nobody uses it.
    fn ends_in(&self) -> Duration {
        let age = self.opened.elapsed();
        match self.idle_since.load(Ordering::Relaxed) {
            0 => SURELY_THERE.saturating_sub(age),
            since => (Duration::from_nanos(since) + LEFT_ALONE).saturating_sub(age),
        }
    }

    /// Whether its reader is to find its end. If not, it is told when that changes.
    pub(crate) fn is_at_end(&self, cx: &Context<'_>) -> bool {
        {
            let mut reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
            match &mut *reader {
                Some(waker) => waker.clone_from(cx.waker()),
                reader @ None => *reader = Some(cx.waker().clone()),
            }
        }
        // After the waker was left: whoever changes either looks for it afterwards.
        self.is_closing() && !self.is_used() && self.ends_in().is_zero()
    }

    /// It is closed.
    pub(crate) fn closed(&self) {
        self.gone.store(true, Ordering::SeqCst);
        drop(self.lock_place().take());
    }

    fn wake_reader(&self) {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waker) = &*reader {
            waker.wake_by_ref();
        }
    }

    fn lock_place(&self) -> std::sync::MutexGuard<'_, Option<RequestPermit>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Lease ===

impl Lease {
    /// The pool's own.
    pub(crate) fn new(connection: &Arc<Connection>) -> Self {
        connection.leases.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(connection))
    }

    /// Whether the connection is gone, and somebody still has it besides the one who asks, with this
    /// lease and the client's note of it: a request that was given it and is lost there.
    ///
    /// Not to be asked of HTTP/2, which many have.
    pub(crate) fn is_lost(&self) -> bool {
        const OWN: usize = 2;
        self.0.gone.load(Ordering::SeqCst) && self.0.leases.load(Ordering::SeqCst) > OWN
    }

    /// Counts one more request, and says whether it is not the first.
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

/// The connection that a request was given, if it was given one yet.
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
        // The pool's goes along with the request that is given the connection.
        let given = Lease::new(&connection);
        let noted = given.clone();
        let asks = noted.clone();
        assert!(!asks.is_lost());
        connection.closed();
        assert!(asks.is_lost());
        // It was given back, and is sent by another.
        drop(given);
        assert!(!asks.is_lost());
    }
}
