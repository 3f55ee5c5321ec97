//! The current services, and replaced services that still have work.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_egress::{Egress, EgressTotals};
use headwater_runtime::{ComponentService, PoolTotals};
use parking_lot::Mutex;

use crate::build::running_service::RunningService;

/// All services that have work. Cheap to clone; the clones share it.
#[derive(Clone, Default)]
pub(crate) struct ServiceRegistry(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Services that get requests.
    current: Vec<Arc<RunningService>>,
    /// Replaced services that finish their work, the oldest first.
    going: Vec<Arc<RunningService>>,
    /// Totals of services that have ended, by service: totals must never go down.
    ended: BTreeMap<Arc<str>, Ended>,
}

#[derive(Default, Clone)]
struct Ended {
    pool: PoolTotals,
    outgoing: EgressTotals,
}

/// The totals of one service name.
pub(crate) struct ServiceTotals {
    pub(crate) service: Arc<str>,
    /// The pools of components. The last one gets requests.
    pub(crate) components: Vec<Arc<ComponentService>>,
    /// The clients for outgoing requests, in the same order.
    pub(crate) clients: Vec<Egress>,
    pub(crate) ended_pool: PoolTotals,
    pub(crate) ended_outgoing: EgressTotals,
}

// === impl ServiceRegistry ===

impl ServiceRegistry {
    /// Replaces the current services by these. Returns those that are not among the new ones; the
    /// caller [ends](Self::ended) them when they have no more work.
    pub(crate) fn replace(&self, services: Vec<Arc<RunningService>>) -> Vec<Arc<RunningService>> {
        let mut state = self.0.lock();
        let before = std::mem::replace(&mut state.current, services);
        let gone: Vec<_> = before
            .into_iter()
            .filter(|old| !state.current.iter().any(|new| new.is(old)))
            .collect();
        state.going.extend(gone.iter().cloned());
        gone
    }

    /// Removes a replaced service that has no more work, and keeps its totals.
    pub(crate) fn ended(&self, service: &Arc<RunningService>) {
        let mut state = self.0.lock();
        state.going.retain(|going| !going.is(service));
        let ended = state.ended.entry(service.name().clone()).or_default();
        if let Some(component) = service.runner.component() {
            ended.pool += &component.pool_totals();
        }
        ended.outgoing += service.egress.totals();
    }

    /// Returns the services that get requests, in the order of their file.
    pub(crate) fn current(&self) -> Vec<Arc<RunningService>> {
        self.0.lock().current.clone()
    }

    pub(crate) fn instances(&self) -> usize {
        let state = self.0.lock();
        let services = state.going.iter().chain(&state.current);
        let components = services.filter_map(|service| service.runner.component());
        components
            .map(|component| component.pool())
            .map(|pool| pool.starting + pool.idle + pool.active + pool.retiring)
            .sum()
    }

    /// Returns the number of replaced services that still have work.
    pub(crate) fn going(&self) -> usize {
        self.0.lock().going.len()
    }

    /// Returns the totals of all services that are there, by name.
    pub(crate) fn lines(&self) -> Vec<ServiceTotals> {
        let state = self.0.lock();
        let mut lines: BTreeMap<Arc<str>, ServiceTotals> = BTreeMap::new();
        for service in state.going.iter().chain(&state.current) {
            let name = service.name();
            let line = lines.entry(name.clone()).or_insert_with(|| {
                let ended = state.ended.get(name).cloned().unwrap_or_default();
                ServiceTotals {
                    service: name.clone(),
                    components: Vec::new(),
                    clients: Vec::new(),
                    ended_pool: ended.pool,
                    ended_outgoing: ended.outgoing,
                }
            });
            if let Some(component) = service.runner.component() {
                line.components.push(component.clone());
            }
            line.clients.push(service.egress.clone());
        }
        lines.into_values().collect()
    }
}

// === impl ServiceTotals ===

impl ServiceTotals {
    /// Returns the totals of all clients, including those that have ended.
    pub(crate) fn outgoing(&self) -> EgressTotals {
        let mut totals = self.ended_outgoing;
        for client in &self.clients {
            totals += client.totals();
        }
        totals
    }
}
