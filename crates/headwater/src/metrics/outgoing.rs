//! Outgoing requests of services, as metrics that are observed when they are exported.

use std::collections::BTreeMap;
use std::sync::Arc;

use headwater_egress::{ConnectionCount, Egress};
use headwater_telemetry::attributes::{
    CAUSE, CONNECTION_REUSED, HTTP_CONNECTION_STATE, SERVER_ADDRESS, SERVER_PORT, SERVICE,
};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::signed;
use crate::service_registry::{ServiceRegistry, ServiceTotals};

/// Makes the instruments for the outgoing requests of the current services and of those that have
/// ended.
pub(crate) fn observe_outgoing(meter: &Meter, registry: &ServiceRegistry) {
    open_connections(meter, registry.clone());
    connections_used(meter, registry.clone());
    refused(meter, registry.clone());
}

fn open_connections(meter: &Meter, registry: ServiceRegistry) {
    meter
        .i64_observable_up_down_counter("http.client.open_connections")
        .with_unit("{connection}")
        .with_description("Connections to upstreams, by whether they serve a request")
        .with_callback(move |instrument| {
            for line in registry.lines() {
                for ((address, port), (active, idle)) in connections(&line) {
                    for (state, count) in [("active", active), ("idle", idle)] {
                        let attributes = [
                            service(&line),
                            KeyValue::new(SERVER_ADDRESS, address.clone()),
                            KeyValue::new(SERVER_PORT, i64::from(port)),
                            KeyValue::new(HTTP_CONNECTION_STATE, state),
                        ];
                        instrument.observe(signed(count), &attributes);
                    }
                }
            }
        })
        .build();
}

/// Returns the number of active and idle connections, by upstream, summed over all clients:
/// observations with equal attributes are not added up.
fn connections(line: &ServiceTotals) -> BTreeMap<(Arc<str>, u16), (usize, usize)> {
    let mut counts: BTreeMap<_, (usize, usize)> = BTreeMap::new();
    for count in line.clients.iter().flat_map(Egress::connections) {
        let ConnectionCount {
            address,
            port,
            active,
            idle,
        } = count;
        let sum = counts.entry((address, port)).or_default();
        sum.0 += active;
        sum.1 += idle;
    }
    counts
}

fn connections_used(meter: &Meter, registry: ServiceRegistry) {
    meter
        .u64_observable_counter("headwater.egress.connection.used")
        .with_unit("{request}")
        .with_description("Outgoing requests, by whether their connection had served others before")
        .with_callback(move |instrument| {
            for line in registry.lines() {
                let totals = line.outgoing();
                for (reused, count) in [(true, totals.reused), (false, totals.new)] {
                    let reused = KeyValue::new(CONNECTION_REUSED, reused);
                    instrument.observe(count, &[service(&line), reused]);
                }
            }
        })
        .build();
}

fn refused(meter: &Meter, registry: ServiceRegistry) {
    meter
        .u64_observable_counter("headwater.egress.request.refused")
        .with_unit("{request}")
        .with_description("Outgoing requests that were denied, or refused by a limit")
        .with_callback(move |instrument| {
            for line in registry.lines() {
                let totals = line.outgoing();
                let by_limit = totals.refused.map(|(limit, count)| (limit.as_str(), count));
                for (cause, count) in [("denied", totals.denied)].into_iter().chain(by_limit) {
                    instrument.observe(count, &[service(&line), KeyValue::new(CAUSE, cause)]);
                }
            }
        })
        .build();
}

fn service(line: &ServiceTotals) -> KeyValue {
    KeyValue::new(SERVICE, line.service.clone())
}
