//! Services by the state of their guest, as a metric that is observed when it is exported.

use headwater_telemetry::attributes::LOAD_STATE;
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::signed;
use crate::build::lazy_guest::LoadState;
use crate::service_registry::ServiceRegistry;

/// Makes the instrument for the current services.
pub(crate) fn observe_services(meter: &Meter, registry: &ServiceRegistry) {
    let registry = registry.clone();
    meter
        .i64_observable_up_down_counter("headwater.service.configured")
        .with_unit("{service}")
        .with_description("Services, by the state of their guest")
        .with_callback(move |instrument| {
            let services = registry.current();
            let states: Vec<_> = services
                .iter()
                .map(|service| service.runner.load_state().as_str())
                .collect();
            for state in LoadState::NAMES {
                let count = states.iter().filter(|other| **other == state).count();
                instrument.observe(signed(count), &[KeyValue::new(LOAD_STATE, state)]);
            }
        })
        .build();
}
