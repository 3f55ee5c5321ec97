//! What services call out by, as metrics that are observed when they are exported.

use std::sync::Arc;

use headwater_egress::{ConnectionCount, Egress};
use headwater_telemetry::attributes::{
    CAUSE, CONNECTION_REUSED, HTTP_CONNECTION_STATE, SERVER_ADDRESS, SERVER_PORT, SERVICE,
};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::signed;
use crate::services::Loaded;

/// Makes the instruments that observe how these services call out. What they call out by lives for
/// as long as the meter.
pub(crate) fn observe_outgoing(meter: &Meter, services: &[Loaded]) {
    let clients: Arc<[Egress]> = services
        .iter()
        .filter_map(|service| service.egress.clone())
        .collect();
    open_connections(meter, clients.clone());
    connections_used(meter, clients.clone());
    refused(meter, clients);
}

fn open_connections(meter: &Meter, clients: Arc<[Egress]>) {
    meter
        .i64_observable_up_down_counter("http.client.open_connections")
        .with_unit("{connection}")
        .with_description("Connections to upstreams, by whether they serve a request")
        .with_callback(move |instrument| {
            for client in &*clients {
                for count in client.connections() {
                    let ConnectionCount {
                        address,
                        port,
                        active,
                        idle,
                    } = count;
                    for (state, count) in [("active", active), ("idle", idle)] {
                        let attributes = [
                            service(client),
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

fn connections_used(meter: &Meter, clients: Arc<[Egress]>) {
    meter
        .u64_observable_counter("headwater.egress.connection.used")
        .with_unit("{request}")
        .with_description("Outgoing requests, by whether their connection had served others before")
        .with_callback(move |instrument| {
            for client in &*clients {
                let totals = client.totals();
                for (reused, count) in [(true, totals.reused), (false, totals.new)] {
                    let reused = KeyValue::new(CONNECTION_REUSED, reused);
                    instrument.observe(count, &[service(client), reused]);
                }
            }
        })
        .build();
}

fn refused(meter: &Meter, clients: Arc<[Egress]>) {
    meter
        .u64_observable_counter("headwater.egress.request.refused")
        .with_unit("{request}")
        .with_description("Outgoing requests that were denied, or refused by a limit")
        .with_callback(move |instrument| {
            for client in &*clients {
                let totals = client.totals();
                let by_limit = totals.refused.map(|(limit, count)| (limit.as_str(), count));
                for (cause, count) in [("denied", totals.denied)].into_iter().chain(by_limit) {
                    instrument.observe(count, &[service(client), KeyValue::new(CAUSE, cause)]);
                }
            }
        })
        .build();
}

fn service(client: &Egress) -> KeyValue {
    KeyValue::new(SERVICE, client.service().clone())
}
