//! The connections of one service: how many there may be, which are idle, what they were used for.
//!
//! hyper-util's pool keeps the connections and gives them out. It knows no bound on their number, so
//! this counts them. Where there are as many as may be, the one that has been idle the longest is
//! closed in favour of the new one.

use std::collections::{BTreeMap, HashMap};
use std::future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_telemetry::Metrics;
use hyper_util::client::legacy::connect::CaptureConnection;

use crate::connection::{Connection, Server};
use crate::limits::{EgressLimits, Limit, RequestPermit, RequestPermits};
use crate::met::MetLimits;
use crate::shared::Upstream;
use crate::{ConnectionCount, EgressError, EgressShared};

/// The connections of one service.
#[derive(Debug)]
pub(crate) struct Connections {
    service: Arc<str>,
    places: RequestPermits,
    wait: Duration,
    shared: EgressShared,
    metrics: Metrics,
    met: MetLimits,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// What [`Connections`] are made of.
pub(crate) struct ConnectionsParams<'a> {
    pub(crate) service: &'a Arc<str>,
    pub(crate) limits: &'a EgressLimits,
    pub(crate) shared: &'a EgressShared,
    pub(crate) metrics: &'a Metrics,
    pub(crate) met: &'a MetLimits,
}

/// A connection that a request needs, unless it is given another meanwhile.
pub(crate) struct Wanted {
    pub(crate) server: Server,
    /// Tells when the request has a connection: the pool makes a new one and looks for an idle one at the
    /// same time, and goes on with the new one after it has found the other.
    pub(crate) given: Option<CaptureConnection>,
}

/// Idle connections that are not closed for a request: those to the upstream that it is for, which the
/// pool gives to it.
pub(crate) struct Spared {
    pub(crate) upstream: Upstream,
    /// One that is idle since before was not given to the request. The pool keeps it for others, and they
    /// may never come.
    pub(crate) idle_by: Option<Instant>,
}

/// Somebody who waits for a place, and may give up before the wait is over because the guest asked for
/// less time.
struct Unserved<'a> {
    met: &'a MetLimits,
    limit: Limit,
}

/// How often those who wait for a place look for idle connections themselves.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

// === impl Connections ===

impl Connections {
    pub(crate) fn new(params: ConnectionsParams<'_>) -> Arc<Self> {
        let ConnectionsParams {
            service,
            limits,
            shared,
            metrics,
            met,
        } = params;
        let connections = Arc::new(Self {
            service: Arc::clone(service),
            places: shared.connections(limits.max_connections),
            wait: limits.wait,
            shared: shared.clone(),
            metrics: metrics.clone(),
            met: met.clone(),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        });
        shared.add(&connections);
        connections
    }

    /// A place for one more to the server, in the stead of an idle one to another if need be. One that
    /// is idle and to the same is no help: the request would have been given it.
    pub(crate) async fn place(&self, wanted: Wanted) -> Result<RequestPermit, EgressError> {
        let Wanted { server, given } = wanted;
        let spared = || Spared {
            upstream: Upstream::new(self, server.clone()),
            idle_by: None,
        };
        loop {
            match self.places.try_take() {
                Ok(place) => return Ok(place),
                Err(limit) if self.close_idle(limit, &spared()) => {}
                Err(limit) if self.wait.is_zero() => return Err(EgressError::Limit(limit)),
                Err(limit) => return self.wait_for_place(limit, spared(), given).await,
            }
        }
    }

    /// Waits until there is a place, or until the request is given another connection: the error is for
    /// nobody then.
    async fn wait_for_place(
        &self,
        limit: Limit,
        mut spared: Spared,
        given: Option<CaptureConnection>,
    ) -> Result<RequestPermit, EgressError> {
        let unserved = Unserved {
            met: &self.met,
            limit,
        };
        let _waiting = self.shared.wait(spared.upstream.clone());
        let mut taking = pin!(self.places.take(self.wait));
        let mut given = pin!(is_given(given));
        let taken = loop {
            let looked = Instant::now();
            // One that became idle before it could know that it is wanted, or without a word: the
            // pool keeps a new connection whose request has found another meanwhile.
            self.close_idle(limit, &spared);
            tokio::select! {
                // A place that is taken for a request that has a connection would be one less for others.
                biased;
                () = given.as_mut() => break Err(limit),
                taken = taking.as_mut() => break taken,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            spared.idle_by = Some(looked);
        };
        // Whoever is told of the error notes it.
        std::mem::forget(unserved);
        taken.map_err(EgressError::Limit)
    }

    /// Closes the connection that has been idle the longest, but for those that are spared: one of this
    /// service, or if the bound on all services is met and this one has none, of any.
    fn close_idle(&self, limit: Limit, spared: &Spared) -> bool {
        let mut idle = self.idle_beside(spared);
        idle.sort_unstable_by_key(|(since, _)| *since);
        let closed = idle.iter().any(|(_, connection)| connection.close());
        closed || (limit == Limit::AllConnections && self.shared.close_longest_idle(spared))
    }

    /// One of them has become idle: whoever waits for its place gets it, but for those whom the
    /// connection itself will be given.
    pub(crate) fn became_idle(&self, connection: &Arc<Connection>) {
        let upstream = || Upstream::new(self, connection.server().clone());
        if self.shared.is_waited_for_beside(upstream) && self.places.are_taken() {
            connection.close();
        }
    }

    /// Returns true while a request waits for its turn to open a connection.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        self.shared
            .is_waited_for_beside(|| Upstream::new(self, (Arc::from(""), 0)))
    }

    /// A new one.
    pub(crate) fn insert(&self, connection: &Arc<Connection>) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        self.open().insert(id, Arc::clone(connection));
        id
    }

    /// One that is closed.
    pub(crate) fn remove(&self, id: u64) {
        let Some(connection) = self.open().remove(&id) else {
            return;
        };
        let (address, port) = connection.server();
        let age = connection.age();
        self.metrics
            .outgoing_connection_closed(&self.service, address, *port, age);
    }

    /// Those that nobody uses, and since when; but for those that are spared.
    pub(crate) fn idle_beside(&self, spared: &Spared) -> Vec<(Instant, Arc<Connection>)> {
        let open = self.open();
        let idle = open.values().filter_map(|connection| {
            let since = connection.idle_since()?;
            let is_spared = spared.upstream.is(self, connection.server())
                && spared.idle_by.is_none_or(|looked| since > looked);
            (!is_spared).then(|| (since, Arc::clone(connection)))
        });
        idle.collect()
    }

    /// How many there are, by upstream.
    pub(crate) fn count(&self) -> Vec<ConnectionCount> {
        let open = self.open();
        let mut counts = BTreeMap::new();
        for connection in open.values() {
            let (active, idle): &mut (usize, usize) =
                counts.entry(connection.server().clone()).or_default();
            let of_its_state = if connection.is_used() { active } else { idle };
            *of_its_state += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((address, port), (active, idle))| ConnectionCount {
                address,
                port,
                active,
                idle,
            })
            .collect()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until a request is given a connection, or for ever if nobody tells.
async fn is_given(given: Option<CaptureConnection>) {
    match given {
        // What it yields holds a lock, and is dropped here.
        Some(mut given) => drop(given.wait_for_connection_metadata().await),
        None => future::pending().await,
    }
}

// === impl Unserved ===

impl Drop for Unserved<'_> {
    fn drop(&mut self) {
        self.met.note(&EgressError::Limit(self.limit));
    }
}
