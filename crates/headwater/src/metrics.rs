//! Metrics of pools, outgoing requests and connections, which are observed when they are exported.

mod build;
mod certificates;
mod connections;
mod outgoing;
mod process;
mod reloads;
mod services;

use std::sync::Arc;

use headwater_runtime::{
    CircuitState, ComponentService, InstanceState, PoolSettings, PoolTotals, PoolView,
};
use headwater_telemetry::attributes::{CAUSE, CIRCUIT_STATE, INSTANCE_STATE, SERVICE};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{AsyncInstrument, Meter};

pub(crate) use self::build::observe_build;
pub(crate) use self::certificates::observe_certificates;
pub(crate) use self::connections::observe_connections;
pub(crate) use self::outgoing::observe_outgoing;
pub(crate) use self::process::observe_process;
pub(crate) use self::reloads::{Reloads, observe_reloads};
pub(crate) use self::services::observe_services;
use crate::service_registry::{ServiceRegistry, ServiceTotals};

/// Makes the instruments for the pools of the current services and of those that have ended.
pub(crate) fn observe_pools(meter: &Meter, registry: &ServiceRegistry) {
    Observer {
        meter,
        registry: registry.clone(),
    }
    .observe();
}

/// The pools of one service, including those of replaced versions that still have work.
struct Pool {
    service: Arc<str>,
    components: Vec<Arc<ComponentService>>,
    newest: Arc<ComponentService>,
    ended: PoolTotals,
}

struct Observer<'a> {
    meter: &'a Meter,
    registry: ServiceRegistry,
}

/// Reports one number to an instrument, under the service and an optional attribute.
type Tell<'a, N> = &'a dyn Fn(N, Option<KeyValue>);

impl Observer<'_> {
    fn observe(&self) {
        self.instances();
        self.requests();
        self.health();
    }

    fn instances(&self) {
        self.level(
            "headwater.pool.instance.alive",
            "{instance}",
            "Instances, by state",
            |pool, tell| {
                let PoolView {
                    starting,
                    idle,
                    active,
                    retiring,
                    ..
                } = pool.view();
                for (state, count) in [
                    (InstanceState::Starting, starting),
                    (InstanceState::Idle, idle),
                    (InstanceState::Active, active),
                    (InstanceState::Retiring, retiring),
                ] {
                    tell(
                        signed(count),
                        Some(KeyValue::new(INSTANCE_STATE, state.as_str())),
                    );
                }
            },
        );
        self.level(
            "headwater.pool.instance.limit",
            "{instance}",
            "Maximum number of instances at once",
            |pool, tell| tell(signed(pool.settings().max_instances), None),
        );
        self.level(
            "headwater.pool.instance.held",
            "{instance}",
            "Instances, idle or active, that take no request because their guest applies \
             backpressure or computes",
            |pool, tell| tell(signed(pool.view().held), None),
        );
        self.count(
            "headwater.pool.instance.started",
            "{instance}",
            "Instances that were started",
            |pool, tell| tell(pool.totals().started, None),
        );
        self.count(
            "headwater.pool.instance.failed",
            "{instance}",
            "Instances that could not be started, or were ended by a trap or beyond a deadline",
            |pool, tell| {
                let totals = pool.totals();
                tell(totals.start_failures, Some(KeyValue::new(CAUSE, "start")));
                tell(totals.failed, Some(KeyValue::new(CAUSE, "run")));
            },
        );
        self.count(
            "headwater.pool.instance.retired",
            "{instance}",
            "Instances that were told to finish their requests and end",
            |pool, tell| {
                for (cause, count) in pool.totals().retired {
                    tell(count, Some(KeyValue::new(CAUSE, cause)));
                }
            },
        );
    }

    fn requests(&self) {
        self.level(
            "headwater.pool.request.active",
            "{request}",
            "Requests in instances, until the last byte of their answer",
            |pool, tell| tell(signed(pool.view().in_flight), None),
        );
        self.level(
            "headwater.pool.queue.length",
            "{request}",
            "Requests that wait for an instance",
            |pool, tell| tell(signed(pool.view().queued), None),
        );
        self.level(
            "headwater.pool.queue.limit",
            "{request}",
            "Maximum number of requests that may wait",
            |pool, tell| tell(signed(pool.settings().max_queue), None),
        );
        self.count(
            "headwater.pool.request.refused",
            "{request}",
            "Requests that were answered 503 before an instance took them",
            |pool, tell| {
                let totals = pool.totals();
                for (cause, count) in [
                    ("queue_full", totals.queue_full),
                    ("queue_timeout", totals.queue_timeout),
                    ("instance_limit", totals.instance_limit),
                    ("circuit_open", totals.circuit_open),
                ] {
                    tell(count, Some(KeyValue::new(CAUSE, cause)));
                }
            },
        );
    }

    fn health(&self) {
        self.count(
            "headwater.pool.request.retried",
            "{request}",
            "Requests that were tried once more because their instance failed",
            |pool, tell| tell(pool.totals().retried, None),
        );
        let registry = self.registry.clone();
        self.meter
            .f64_observable_counter("headwater.pool.backpressure.time")
            .with_unit("s")
            .with_description(
                "Total time for which guests refused further requests by backpressure",
            )
            .with_callback(move |instrument| {
                tell_of_each(&registry, instrument, |pool, tell| {
                    tell(pool.totals().backpressure.as_secs_f64(), None);
                });
            })
            .build();
        self.level(
            "headwater.circuit.state",
            "{state}",
            "1 for the state that the service's circuit is in, 0 for the others",
            |pool, tell| {
                let current = pool.circuit();
                for (state, name) in [
                    (CircuitState::Closed, "closed"),
                    (CircuitState::Open, "open"),
                    (CircuitState::Probing, "probing"),
                ] {
                    let is = i64::from(state == current);
                    tell(is, Some(KeyValue::new(CIRCUIT_STATE, name)));
                }
            },
        );
    }

    /// Makes an instrument for a number that goes up and down.
    fn level(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        look: impl Fn(&Pool, Tell<'_, i64>) + Send + Sync + 'static,
    ) {
        let registry = self.registry.clone();
        self.meter
            .i64_observable_up_down_counter(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |instrument| tell_of_each(&registry, instrument, &look))
            .build();
    }

    /// Makes an instrument for a number that only goes up.
    fn count(
        &self,
        name: &'static str,
        unit: &'static str,
        description: &'static str,
        look: impl Fn(&Pool, Tell<'_, u64>) + Send + Sync + 'static,
    ) {
        let registry = self.registry.clone();
        self.meter
            .u64_observable_counter(name)
            .with_unit(unit)
            .with_description(description)
            .with_callback(move |instrument| tell_of_each(&registry, instrument, &look))
            .build();
    }
}

fn tell_of_each<N>(
    registry: &ServiceRegistry,
    instrument: &dyn AsyncInstrument<N>,
    look: impl Fn(&Pool, Tell<'_, N>),
) {
    for pool in registry.lines().into_iter().filter_map(Pool::of) {
        look(&pool, &|number, attribute| {
            let service = KeyValue::new(SERVICE, pool.service.clone());
            match attribute {
                Some(attribute) => instrument.observe(number, &[service, attribute]),
                None => instrument.observe(number, &[service]),
            }
        });
    }
}

impl Pool {
    /// Returns `None` for a service without instances.
    fn of(line: ServiceTotals) -> Option<Self> {
        Some(Self {
            newest: line.components.last()?.clone(),
            service: line.service,
            components: line.components,
            ended: line.ended_pool,
        })
    }

    fn view(&self) -> PoolView {
        let mut sum = PoolView::default();
        for component in &self.components {
            sum += component.pool();
        }
        sum
    }

    fn totals(&self) -> PoolTotals {
        let mut sum = self.ended.clone();
        for component in &self.components {
            sum += &component.pool_totals();
        }
        sum
    }

    fn settings(&self) -> &PoolSettings {
        self.newest.pool_settings()
    }

    fn circuit(&self) -> CircuitState {
        self.newest.circuit()
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
