//! Limits on the number of outgoing requests and the size of messages.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The limits of one service's outgoing requests, each with its default and the reason for it.
#[derive(Debug, Clone)]
pub struct EgressLimits {
    /// Outgoing requests in flight, to the end of their responses' bodies. Default: 1024, four instances'
    /// worth of `max-outgoing-per-instance`.
    pub max_requests: usize,
    /// Open connections, including idle ones. Default: 512, so that several services fit into
    /// [`SharedLimits::max_connections`]; an upstream with HTTP/2 takes one.
    pub max_connections: usize,
    /// How long a request may wait at the limit on requests or connections. The wait counts as time to
    /// connect. Default: 1 second, which turns a burst into a delay: if upstreams answer within 100
    /// milliseconds, nearly ten times as many requests as the limit are served (measured: all but 6 % of 640
    /// with a limit of 64; 90 % are refused without a wait). If they hang, the guest learns of it long before
    /// its own deadline.
    pub wait: Duration,
    /// The fields of a request's head, and separately of its trailers, in bytes: names, values and 32 for
    /// each (RFC 9113, 6.5.2). Default: 64 KiB; common servers refuse more than 8 to 64 KiB.
    pub request_head: usize,
    /// The same for a response. Default: 64 KiB. Over HTTP/1.1 a head is buffered until it is complete, up to
    /// 400 KiB whatever the setting.
    pub response_head: usize,
    /// The number of fields in a response's head. Default: 100, as many as the parser holds without
    /// allocating.
    pub response_fields: usize,
    /// A request's body, in bytes. Default: no limit, because it is streamed and never buffered whole.
    pub request_body: Option<u64>,
    /// A response's body, in bytes. Default: no limit, for the same reason.
    pub response_body: Option<u64>,
}

/// The limits of all services together.
#[derive(Debug, Clone, Copy)]
pub struct SharedLimits {
    /// Outgoing requests in flight. Default: 8192.
    pub max_requests: usize,
    /// Open connections, including idle ones. Default: 4096, which leaves room for incoming connections below
    /// the limit of open files that systems commonly set for a service (8192 or more).
    pub max_connections: usize,
}

/// A limit on outgoing requests or connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// Outgoing requests of one instance, counted by the caller.
    InstanceRequests,
    /// See [`EgressLimits::max_requests`].
    ServiceRequests,
    /// See [`SharedLimits::max_requests`].
    AllRequests,
    /// See [`EgressLimits::max_connections`].
    ServiceConnections,
    /// See [`SharedLimits::max_connections`].
    AllConnections,
}

/// The maximum of interim responses before a response. Go's client took five for many years; an upstream that
/// reports every five seconds that it is still busy (102) sends a hundred in eight minutes.
pub(crate) const MOST_INTERIM: u32 = 100;

/// Permits of one service, which also count among those of all services. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct RequestPermits {
    own: Arc<Semaphore>,
    all: Arc<Semaphore>,
    own_limit: Limit,
    all_limit: Limit,
}

/// One permit. Dropping it returns it.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    _own: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

// === impl EgressLimits ===

impl Default for EgressLimits {
    fn default() -> Self {
        Self {
            max_requests: 1024,
            max_connections: 512,
            wait: Duration::from_secs(1),
            request_head: 64 << 10,
            response_head: 64 << 10,
            response_fields: 100,
            request_body: None,
            response_body: None,
        }
    }
}

impl Default for SharedLimits {
    fn default() -> Self {
        Self {
            max_requests: 8192,
            max_connections: 4096,
        }
    }
}

// === impl Limit ===

impl Limit {
    /// All limits.
    pub const ALL: [Self; 5] = [
        Self::InstanceRequests,
        Self::ServiceRequests,
        Self::AllRequests,
        Self::ServiceConnections,
        Self::AllConnections,
    ];

    /// A short stable label, for metrics and the attribute `error.type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InstanceRequests => "instance_requests",
            Self::ServiceRequests => "service_requests",
            Self::AllRequests => "all_requests",
            Self::ServiceConnections => "service_connections",
            Self::AllConnections => "all_connections",
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The service's setting first, then the flag, then the host's setting.
        f.write_str(match self {
            Self::InstanceRequests => {
                "the instance has reached its limit of outgoing requests: \
                 raise `max_outgoing_per_instance`"
            }
            Self::ServiceRequests => {
                "the service has reached its limit of outgoing requests: \
                 raise `outgoing.max_requests`"
            }
            Self::AllRequests => {
                "all services together have reached the limit of outgoing requests: \
                 raise --max-outgoing-requests-in-all"
            }
            Self::ServiceConnections => {
                "the service has reached its limit of connections to upstreams, and all are in use: \
                 raise `outgoing.max_connections`"
            }
            Self::AllConnections => {
                "all services together have reached the limit of connections to upstreams, and all \
                 are in use: raise --max-outgoing-connections-in-all"
            }
        })
    }
}

// === impl RequestPermits ===

impl RequestPermits {
    /// `own` permits of a service, which also count among those of `all`.
    pub(crate) fn new(
        own: usize,
        own_limit: Limit,
        all: &Arc<Semaphore>,
        all_limit: Limit,
    ) -> Self {
        Self {
            own: semaphore(own),
            all: Arc::clone(all),
            own_limit,
            all_limit,
        }
    }

    pub(crate) fn try_take(&self) -> Result<RequestPermit, Limit> {
        let own = Arc::clone(&self.own).try_acquire_owned();
        let own = own.map_err(|_none_left| self.own_limit)?;
        let all = Arc::clone(&self.all).try_acquire_owned();
        let all = all.map_err(|_none_left| self.all_limit)?;
        Ok(RequestPermit {
            _own: own,
            _all: all,
        })
    }

    /// Takes a permit; waits at most for `wait`.
    pub(crate) async fn take(&self, wait: Duration) -> Result<RequestPermit, Limit> {
        let limit = match self.try_take() {
            Err(limit) if !wait.is_zero() => limit,
            taken => return taken,
        };
        let taking = async {
            let own = Arc::clone(&self.own).acquire_owned().await.ok()?;
            let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
            Some(RequestPermit {
                _own: own,
                _all: all,
            })
        };
        let taken = tokio::time::timeout(wait, taking).await;
        taken.ok().flatten().ok_or(limit)
    }

    pub(crate) fn are_taken(&self) -> bool {
        self.own.available_permits() == 0 || self.all.available_permits() == 0
    }
}

/// Makes a semaphore with this number of permits, or its maximum.
pub(crate) fn semaphore(permits: usize) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(own: usize, all: &Arc<Semaphore>) -> RequestPermits {
        RequestPermits::new(own, Limit::ServiceRequests, all, Limit::AllRequests)
    }

    #[tokio::test]
    async fn the_limit_that_is_met_is_named_and_a_place_that_is_dropped_is_free() {
        let all = semaphore(3);
        let (one, other) = (places(2, &all), places(2, &all));
        let first = one.try_take().unwrap();
        let _second = one.try_take().unwrap();
        assert_eq!(one.try_take().unwrap_err(), Limit::ServiceRequests);
        let _third = other.try_take().unwrap();
        assert_eq!(other.try_take().unwrap_err(), Limit::AllRequests);
        drop(first);
        other.try_take().unwrap();
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_becomes_free() {
        let all = semaphore(1);
        let places = Arc::new(places(1, &all));
        let held = places.try_take().unwrap();
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take(Duration::MAX).await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_wait_ends() {
        let all = semaphore(1);
        let places = places(1, &all);
        let _held = places.try_take().unwrap();
        let limit = places.take(Duration::from_millis(1)).await.unwrap_err();
        assert_eq!(limit, Limit::ServiceRequests);
    }
}
