//! The services as they are now, and those that were replaced and have work left.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use headwater_egress::{Egress, EgressTotals};
use headwater_runtime::{ComponentService, PoolTotals};

use crate::build::running_service::RunningService;

/// All services that do something, for whoever looks at them. Cheap to clone; the clones share it.
#[derive(Clone, Default)]
pub(crate) struct ServiceRegistry(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// Those that are given requests.
    current: Vec<Arc<RunningService>>,
    /// Those that finish what they have, the oldest first.
    going: Vec<Arc<RunningService>>,
    /// What those did that have ended, by service: totals never go down.
    ended: BTreeMap<Arc<str>, Ended>,
}

#[derive(Default, Clone)]
struct Ended {
    pool: PoolTotals,
    outgoing: EgressTotals,
}

/// All that serves under one name, or did.
pub(crate) struct ServiceTotals {
    pub(crate) service: Arc<str>,
    /// The pools of components, the one that is given requests last.
    pub(crate) components: Vec<Arc<ComponentService>>,
    /// By what it calls out, likewise.
    pub(crate) clients: Vec<Egress>,
    /// What was done by those that have ended.
    pub(crate) ended_pool: PoolTotals,
    pub(crate) ended_outgoing: EgressTotals,
}

// === impl ServiceRegistry ===

impl ServiceRegistry {
    /// Puts these services in the place of those that are there. Gives those that are not among them;
    /// they are to be [ended](Self::ended) when they have no more work.
    pub(crate) fn replace(&self, services: Vec<Arc<RunningService>>) -> Vec<Arc<RunningService>> {
        let mut state = self.state();
        let before = std::mem::replace(&mut state.current, services);
        let gone: Vec<_> = before
            .into_iter()
            .filter(|old| !state.current.iter().any(|new| new.is(old)))
            .collect();
        state.going.extend(gone.iter().cloned());
        gone
    }

    /// A service that was replaced has no more work: what it did is kept, and it is not.
    pub(crate) fn ended(&self, service: &Arc<RunningService>) {
        let mut state = self.state();
        state.going.retain(|going| !going.is(service));
        let ended = state.ended.entry(service.name().clone()).or_default();
        if let Some(component) = service.runner.component() {
            ended.pool += &component.pool_totals();
        }
        ended.outgoing += service.egress.totals();
    }

    /// The services that are given requests, in the order of their file.
    pub(crate) fn current(&self) -> Vec<Arc<RunningService>> {
        self.state().current.clone()
    }

    /// How many instances there are of components.
    pub(crate) fn instances(&self) -> usize {
        let state = self.state();
        let services = state.going.iter().chain(&state.current);
        let components = services.filter_map(|service| service.runner.component());
        components
            .map(|component| component.pool())
            .map(|pool| pool.starting + pool.idle + pool.active + pool.retiring)
            .sum()
    }

    /// How many were replaced and have work left.
    pub(crate) fn going(&self) -> usize {
        self.state().going.len()
    }

    /// What there is and was by service, of all services that are there.
    pub(crate) fn lines(&self) -> Vec<ServiceTotals> {
        let state = self.state();
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

    /// Nothing is left half-changed by a panic while it is held.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl ServiceTotals ===

impl ServiceTotals {
    /// What its clients did, those included that have ended.
    pub(crate) fn outgoing(&self) -> EgressTotals {
        let mut totals = self.ended_outgoing;
        for client in &self.clients {
            totals += client.totals();
        }
        totals
    }
}
