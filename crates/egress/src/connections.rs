//! The connections of one service: how many there may be, which are idle, what they were used for.
//!
//! hyper-util's pool keeps the connections and gives them out. It knows no bound on their number, so
//! this counts them. Where there are as many as may be, the one that has been idle the longest is
//! closed in favour of the new one.

use std::collections::{BTreeMap, HashMap};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use headwater_telemetry::Metrics;

use crate::connection::{Connection, Server};
use crate::limits::{EgressLimits, Limit, Place, Places};
use crate::met::MetLimits;
use crate::shared::Upstream;
use crate::{ConnectionCount, EgressError, EgressShared};

/// The connections of one service.
#[derive(Debug)]
pub(crate) struct Connections {
    service: Arc<str>,
    places: Places,
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

/// Somebody who waits for a place, and may give up before the wait is over: because the guest asked for
/// less time, or because the request was given a connection meanwhile.
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

    /// A place for one more to this server, in the stead of an idle one to another if need be. One that
    /// is idle and to the same is no help: the request would have been given it.
    pub(crate) async fn place(&self, server: &Server) -> Result<Place, EgressError> {
        let upstream = || Upstream::new(self, server.clone());
        loop {
            match self.places.try_take() {
                Ok(place) => return Ok(place),
                Err(limit) if self.close_idle(limit, Some(&upstream())) => {}
                Err(limit) if self.wait.is_zero() => return Err(EgressError::Limit(limit)),
                Err(limit) => return self.wait_for_place(limit, upstream()).await,
            }
        }
    }

    async fn wait_for_place(&self, limit: Limit, upstream: Upstream) -> Result<Place, EgressError> {
        let unserved = Unserved {
            met: &self.met,
            limit,
        };
        let _waiting = self.shared.wait(upstream.clone());
        let mut taking = pin!(self.places.take(self.wait));
        // At first not one to the same upstream, which the pool gives to this request. What is idle still at
        // the next look was not given: the pool keeps it for others, and they may never come.
        let mut spared = Some(&upstream);
        loop {
            // One that became idle before it could know that it is wanted, or without a word: the
            // pool keeps a new connection whose request has found another meanwhile.
            self.close_idle(limit, spared);
            if let Ok(taken) = tokio::time::timeout(LOOK_AGAIN, taking.as_mut()).await {
                // Whoever is told of the error notes it.
                std::mem::forget(unserved);
                return taken.map_err(EgressError::Limit);
            }
            spared = None;
        }
    }

    /// Closes the connection that has been idle the longest, but for those that are spared: one of this
    /// service, or if the bound on all services is met and this one has none, of any.
    fn close_idle(&self, limit: Limit, spared: Option<&Upstream>) -> bool {
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

    /// Those that nobody uses, and since when; but for those to an upstream that is spared.
    pub(crate) fn idle_beside(&self, spared: Option<&Upstream>) -> Vec<(Instant, Arc<Connection>)> {
        let open = self.open();
        let others = open.values().filter(|connection| {
            !spared.is_some_and(|spared| spared.is(self, connection.server()))
        });
        let idle = others.filter_map(|connection| {
            let since = connection.idle_since()?;
            Some((since, Arc::clone(connection)))
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

// === impl Unserved ===

impl Drop for Unserved<'_> {
    fn drop(&mut self) {
        self.met.note(&EgressError::Limit(self.limit));
    }
}
