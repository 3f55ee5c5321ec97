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

use crate::connection::Connection;
use crate::limits::{EgressLimits, Limit, Place, Places};
use crate::{ConnectionCount, EgressError, EgressShared};

/// The connections of one service.
#[derive(Debug)]
pub(crate) struct Connections {
    service: Arc<str>,
    places: Places,
    wait: Duration,
    shared: EgressShared,
    metrics: Metrics,
    next: AtomicU64,
    open: Mutex<HashMap<u64, Arc<Connection>>>,
}

/// How often those who wait for a place look for idle connections themselves.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

// === impl Connections ===

impl Connections {
    pub(crate) fn new(
        service: &Arc<str>,
        limits: &EgressLimits,
        shared: &EgressShared,
        metrics: &Metrics,
    ) -> Arc<Self> {
        let connections = Arc::new(Self {
            service: Arc::clone(service),
            places: shared.connections(limits.max_connections),
            wait: limits.wait,
            shared: shared.clone(),
            metrics: metrics.clone(),
            next: AtomicU64::new(0),
            open: Mutex::default(),
        });
        shared.add(&connections);
        connections
    }

    /// A place for one more, in the stead of an idle one if need be.
    pub(crate) async fn place(&self) -> Result<Place, EgressError> {
        loop {
            match self.places.try_take() {
                Ok(place) => return Ok(place),
                Err(limit) if self.close_idle(limit) => {}
                Err(limit) if self.wait.is_zero() => return Err(EgressError::Limit(limit)),
                Err(limit) => return self.wait_for_place(limit).await,
            }
        }
    }

    async fn wait_for_place(&self, limit: Limit) -> Result<Place, EgressError> {
        let _waiting = self.shared.wait();
        let mut taking = pin!(self.places.take(self.wait));
        loop {
            // One that became idle before it could know that it is wanted, or without a word: the
            // pool keeps a new connection whose request has found another meanwhile.
            self.close_idle(limit);
            if let Ok(taken) = tokio::time::timeout(LOOK_AGAIN, taking.as_mut()).await {
                return taken.map_err(EgressError::Limit);
            }
        }
    }

    /// Closes the connection that has been idle the longest: of this service, or if the bound on all
    /// services is met and this one has none, of any.
    fn close_idle(&self, limit: Limit) -> bool {
        let mut idle = self.idle();
        idle.sort_unstable_by_key(|(since, _)| *since);
        let closed = idle.iter().any(|(_, connection)| connection.close());
        closed || (limit == Limit::AllConnections && self.shared.close_longest_idle())
    }

    /// One of them has become idle: whoever waits for its place gets it.
    pub(crate) fn became_idle(&self, connection: &Arc<Connection>) {
        if self.shared.is_waited_for() && self.places.are_taken() {
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
            .outgoing_connection_closed(&self.service, address, port, age);
    }

    /// Those that nobody uses, and since when.
    pub(crate) fn idle(&self) -> Vec<(Instant, Arc<Connection>)> {
        let open = self.open();
        let idle = open.values().filter_map(|connection| {
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
                counts.entry(connection.server()).or_default();
            let of_its_state = if connection.is_used() { active } else { idle };
            *of_its_state += 1;
        }
        let counts = counts.into_iter();
        counts
            .map(|((address, port), (active, idle))| ConnectionCount {
                address: Arc::clone(address),
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
