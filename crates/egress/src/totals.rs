//! The counts of an [`Egress`](crate::Egress), for observers.

use std::ops::AddAssign;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{EgressError, Limit};

/// The counts of a service's outgoing requests since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EgressTotals {
    /// Requests on a connection that had served others before.
    pub reused: u64,
    /// Requests on a new connection.
    pub new: u64,
    /// Requests that the policy denied.
    pub denied: u64,
    /// Requests that a limit refused.
    pub refused: [(Limit, u64); Limit::ALL.len()],
}

/// The number of open connections to one upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionCount {
    /// The upstream's host.
    pub address: Arc<str>,
    /// The port of the upstream.
    pub port: u16,
    /// Connections that serve a request.
    pub active: usize,
    /// Connections that do not.
    pub idle: usize,
}

/// The counters behind [`EgressTotals`]. They are only reported, and order nothing.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    reused: AtomicU64,
    new: AtomicU64,
    denied: AtomicU64,
    refused: [AtomicU64; Limit::ALL.len()],
}

// === impl EgressTotals ===

impl Default for EgressTotals {
    fn default() -> Self {
        Self {
            reused: 0,
            new: 0,
            denied: 0,
            refused: Limit::ALL.map(|limit| (limit, 0)),
        }
    }
}

/// For clients that one service used one after the other.
impl AddAssign for EgressTotals {
    fn add_assign(&mut self, other: Self) {
        let Self {
            reused,
            new,
            denied,
            refused,
        } = other;
        self.reused += reused;
        self.new += new;
        self.denied += denied;
        // Both are in the order of `Limit::ALL`.
        for ((_, sum), (_, count)) in self.refused.iter_mut().zip(refused) {
            *sum += count;
        }
    }
}

// === impl Totals ===

impl Totals {
    pub(crate) fn connection(&self, reused: bool) {
        let counter = if reused { &self.reused } else { &self.new };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self, error: &EgressError) {
        match error {
            EgressError::Denied { .. } | EgressError::AddressDenied { .. } => {
                self.denied.fetch_add(1, Ordering::Relaxed);
            }
            EgressError::Limit(limit) => {
                self.refused[*limit as usize].fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    pub(crate) fn read(&self) -> EgressTotals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        EgressTotals {
            reused: read(&self.reused),
            new: read(&self.new),
            denied: read(&self.denied),
            refused: Limit::ALL.map(|limit| (limit, read(&self.refused[limit as usize]))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_counted_as_itself() {
        let totals = Totals::default();
        for (times, limit) in Limit::ALL.into_iter().enumerate() {
            (0..times).for_each(|_| totals.failed(&EgressError::Limit(limit)));
        }
        let counts = totals.read().refused.map(|(_, count)| count);
        assert_eq!(counts, [0, 1, 2, 3, 4]);
        assert_eq!(totals.read().refused.map(|(limit, _)| limit), Limit::ALL);
        let mut sum = EgressTotals::default();
        sum += totals.read();
        sum += totals.read();
        assert_eq!(sum.refused.map(|(_, count)| count), [0, 2, 4, 6, 8]);
    }
}
