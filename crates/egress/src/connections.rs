//! The connections of one service: how many there may be, which are idle, what they were used for.
//!
//! hyper-util's pool keeps the connections and gives them out. It knows no bound on their number, so
//! this counts them. Where there are as many as may be, the one that has been idle the longest is
//! closed in favour of the new one.

use std::future;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headwater_telemetry::Metrics;
use hyper_util::client::legacy::connect::CaptureConnection;

use crate::connection::Connection;
use crate::limits::{EgressLimits, Limit, RequestPermit, RequestPermits};
use crate::met::MetLimits;
use crate::open_connections::{OpenConnections, Spared, close_longest};
use crate::transport::ConnectionInfo;
use crate::waiters::{Server, Upstream};
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
    open: Arc<OpenConnections>,
    /// The number of the service.
    number: usize,
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
    pub(crate) fn new(
        service: &Arc<str>,
        limits: &EgressLimits,
        shared: &EgressShared,
        metrics: &Metrics,
        met: &MetLimits,
    ) -> Arc<Self> {
        let open = Arc::default();
        Arc::new(Self {
            number: shared.add(&open),
            open,
            service: Arc::clone(service),
            places: shared.connections(limits.max_connections),
            wait: limits.wait,
            shared: shared.clone(),
            metrics: metrics.clone(),
            met: met.clone(),
        })
    }

    /// A place for one more to the server, in the stead of an idle one to another if need be. One that
    /// is idle and to the same is no help: the request would have been given it.
    ///
    /// `given` tells when the request has a connection: the pool makes a new one and looks for an idle one at
    /// the same time, and goes on with the new one after it has found the other.
    pub(crate) async fn place(
        &self,
        server: Server,
        given: Option<CaptureConnection>,
    ) -> Result<RequestPermit, EgressError> {
        let spared = || Spared {
            upstream: self.upstream(server.clone()),
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
        let _waiting = self.shared.waiters().wait(spared.upstream.clone());
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
        close_longest(self.open.idle_beside(spared))
            || (limit == Limit::AllConnections && self.shared.close_longest_idle(spared))
    }

    /// Returns true while a request waits for its turn to open a connection.
    #[cfg(test)]
    pub(crate) fn is_waited_for(&self) -> bool {
        let nobody = self.upstream((Arc::from(""), 0));
        self.shared.waiters().are_beside(&nobody)
    }

    /// One that was just made, and its number.
    pub(crate) fn insert(
        &self,
        server: Server,
        info: ConnectionInfo,
        place: RequestPermit,
    ) -> (u64, Arc<Connection>) {
        let waiters = Arc::clone(self.shared.waiters());
        let places = self.places.clone();
        let connection = Connection::new(self.upstream(server), info, place, places, waiters);
        (self.open.insert(&connection), connection)
    }

    /// One that is closed.
    pub(crate) fn remove(&self, id: u64) {
        let Some(connection) = self.open.remove(id) else {
            return;
        };
        let (address, port) = &connection.upstream().server;
        let age = connection.age();
        self.metrics
            .outgoing_connection_closed(&self.service, address, *port, age);
    }

    /// How many there are, by upstream.
    pub(crate) fn count(&self) -> Vec<ConnectionCount> {
        self.open.count()
    }

    fn upstream(&self, server: Server) -> Upstream {
        Upstream {
            of: self.number,
            server,
        }
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
