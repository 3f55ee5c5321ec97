//! The connections of clients, as metrics that are observed when they are exported.

use std::collections::BTreeMap;

use headwater_server::{ConnectionCounts, Counts};
use headwater_telemetry::attributes::{CAUSE, LISTENER};
use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

use super::signed;

/// Makes the instruments for a server's connections, by listener. The semantic conventions define
/// none.
pub(crate) fn observe_connections(meter: &Meter, counts: &ConnectionCounts) {
    let observed = counts.clone();
    meter
        .i64_observable_up_down_counter("headwater.server.connection.open")
        .with_unit("{connection}")
        .with_description("Connections of clients that are open")
        .with_callback(move |instrument| {
            for (listener, counts) in by_listener(&observed) {
                instrument.observe(signed(counts.open), &[listener]);
            }
        })
        .build();
    let limit = signed(counts.limit());
    meter
        .i64_observable_up_down_counter("headwater.server.connection.limit")
        .with_unit("{connection}")
        .with_description("Maximum number of open connections of clients, for all listeners")
        .with_callback(move |instrument| instrument.observe(limit, &[]))
        .build();
    count(
        meter,
        counts,
        "headwater.server.connection.accepted",
        "Connections of clients that were accepted and not refused",
        &[(None, |counts| counts.accepted)],
    );
    count(
        meter,
        counts,
        "headwater.server.connection.refused",
        "Connections of clients that were refused because there were too many, in total or of the client",
        &[
            (Some("max_connections"), |counts| counts.refused),
            (Some("client"), |counts| counts.refused_client),
        ],
    );
    count(
        meter,
        counts,
        "headwater.server.connection.failed",
        "Connections of clients that ended because a TLS handshake or a PROXY header was bad or late",
        &[(None, |counts| counts.failed)],
    );
}

/// Counts, with the cause of each if there are several.
type Causes = &'static [(Option<&'static str>, fn(Counts) -> u64)];

fn count(
    meter: &Meter,
    counts: &ConnectionCounts,
    name: &'static str,
    description: &'static str,
    causes: Causes,
) {
    let observed = counts.clone();
    meter
        .u64_observable_counter(name)
        .with_unit("{connection}")
        .with_description(description)
        .with_callback(move |instrument| {
            for (listener, counts) in by_listener(&observed) {
                for (cause, which) in causes {
                    let cause = cause.map(|cause| KeyValue::new(CAUSE, cause));
                    let attributes: Vec<_> = cause.into_iter().chain([listener.clone()]).collect();
                    instrument.observe(which(counts), &attributes);
                }
            }
        })
        .build();
}

/// Adds up the counts of listeners with the same name, such as inherited sockets without one:
/// observations with equal attributes are not added up.
fn by_listener(counts: &ConnectionCounts) -> impl Iterator<Item = (KeyValue, Counts)> {
    let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
    for (address, counts) in counts.by_listener() {
        *sums.entry(address.to_string()).or_default() += counts;
    }
    let attribute = |(listener, counts)| (KeyValue::new(LISTENER, listener), counts);
    sums.into_iter().map(attribute)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use headwater_server::{Front, FrontParams, ListenerParams, Router, Server, ServerParams};
    use headwater_telemetry::TelemetryConfig;
    use tokio::net::TcpStream;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn connections_are_measured_by_listener_and_those_that_were_refused_apart() {
        let (_log, telemetry) = headwater_telemetry::build(TelemetryConfig {
            prometheus: true,
            ..TelemetryConfig::default()
        })
        .unwrap();
        let listener = || ListenerParams::at(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)));
        let mut params = ServerParams {
            listeners: vec![listener(), listener()],
            ..ServerParams::default()
        };
        params.limits.max_connections = 1;
        let server = Server::bind(params).await.unwrap();
        let counts = server.connections();
        observe_connections(&telemetry.metrics().meter(), &counts);
        let addresses = server.addresses().to_vec();
        let front = Front::new(FrontParams::default(), Router::new([]).unwrap());
        tokio::spawn(server.serve(front, CancellationToken::new()));

        let address = addresses[0].socket_addr().unwrap();
        let mut clients = Vec::new();
        for refused in [0, 1] {
            clients.push(TcpStream::connect(address).await.unwrap());
            while counts.total().accepted < 1 || counts.total().refused < refused {
                tokio::task::yield_now().await;
            }
        }
        let text = telemetry.prometheus().unwrap().text();
        let told = |name: &str, listener: Option<usize>, value: u64| {
            let listener = listener.map(|at| format!("headwater_listener=\"{}\"", addresses[at]));
            let is_told = text.lines().any(|line| {
                line.starts_with(&format!("headwater_server_connection_{name}"))
                    && listener
                        .as_ref()
                        .is_none_or(|listener| line.contains(listener))
                    && line.ends_with(&format!(" {value}"))
            });
            assert!(is_told, "{name} {listener:?} {value}\n{text}");
        };
        for (name, of_first) in [("open", 1), ("accepted", 1), ("refused", 1), ("failed", 0)] {
            told(name, Some(0), of_first);
            told(name, Some(1), 0);
        }
        told("limit", None, 1);
        telemetry.shutdown();
    }
}
