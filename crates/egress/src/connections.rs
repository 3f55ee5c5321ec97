//! The connections of one service: their number, idle time and use.
//!
//! hyper-util's pool keeps the connections and hands them out, but has no limit on their number, so they are
//! counted here. At the limit, the connection that has been idle the longest is closed in favour of the new
//! one.

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

#[derive(Debug)]
pub(crate) struct Connections {
    service: Arc<str>,
    places: RequestPermits,
    wait: Duration,
    shared: EgressShared,
    metrics: Metrics,
    met: MetLimits,
    open: Arc<OpenConnections>,
    number: usize,
}

/// A request that waits for a place, and may give up early because the guest asked for less time.
struct Unserved<'a> {
    met: &'a MetLimits,
    limit: Limit,
}

/// How often waiting requests look for idle connections.
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

    /// Takes a place for one more connection to the server, if necessary by closing an idle one to another
    /// server. An idle one to the same server does not help: the request would have got it.
    ///
    /// `given` resolves when the request has a connection: the pool connects and looks for an idle connection
    /// at the same time, and goes on connecting after it has found one.
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

    /// Waits until there is a place, or the request is given another connection; then nobody sees the error.
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
            // A connection may have become idle before it was known to be wanted, or unnoticed: the pool
            // keeps a new connection whose request has found another meanwhile.
            self.close_idle(limit, &spared);
            tokio::select! {
                // A place for a request that has a connection already would be missing for others.
                biased;
                () = given.as_mut() => break Err(limit),
                taken = taking.as_mut() => break taken,
                () = tokio::time::sleep(LOOK_AGAIN) => {}
            }
            spared.idle_by = Some(looked);
        };
        // The receiver of the error records it.
        std::mem::forget(unserved);
        taken.map_err(EgressError::Limit)
    }

    /// Closes the connection that has been idle the longest, except for the spared ones: of this service, or
    /// if the limit on all services is reached and this one has none, of any service.
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

    pub(crate) fn remove(&self, id: u64) {
        let Some(connection) = self.open.remove(id) else {
            return;
        };
        let (address, port) = &connection.upstream().server;
        let age = connection.age();
        self.metrics
            .outgoing_connection_closed(&self.service, address, *port, age);
    }

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

/// Waits until a request is given a connection; forever if there is no `given`.
async fn is_given(given: Option<CaptureConnection>) {
    match given {
        // The result holds a lock, so it is dropped at once.
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
