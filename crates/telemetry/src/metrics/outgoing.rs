use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Uri};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter};
use opentelemetry_semantic_conventions::metric::{
    HTTP_CLIENT_CONNECTION_DURATION, HTTP_CLIENT_REQUEST_DURATION,
};

use super::{Instruments, SECONDS, outcome};
use crate::attributes::{
    HTTP_REQUEST_METHOD, NETWORK_PROTOCOL_VERSION, SERVER_ADDRESS, SERVER_PORT, SERVICE, URL_SCHEME,
};
use crate::span::url::address_and_port;
use crate::span::{OTHER_METHOD, known_method};

/// The instruments of outgoing requests, by the semantic conventions for HTTP clients.
pub(super) struct OutgoingInstruments {
    duration: Histogram<f64>,
    pub(super) connection: Histogram<f64>,
}

/// The measurement of one outgoing request; does nothing by default.
#[derive(Debug, Default)]
pub struct OutgoingMeasure(Option<Box<Measured>>);

struct Measured {
    instruments: Arc<Instruments>,
    started: Instant,
    attributes: Vec<KeyValue>,
}

/// Service, method, scheme, address and port; then version, status and error.
const ATTRIBUTES: usize = 8;

/// The bucket bounds of connections' ages, in seconds. Connections live while they are used, and
/// then for the time that idle ones are kept (90 s by default).
const AGES: [f64; 11] = [
    0.01, 0.1, 1.0, 10.0, 60.0, 120.0, 300.0, 600.0, 3600.0, 21600.0, 86400.0,
];

impl OutgoingInstruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram(HTTP_CLIENT_REQUEST_DURATION)
                .with_unit("s")
                .with_description("Time from a guest's call to the last byte of its response")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            connection: meter
                .f64_histogram(HTTP_CLIENT_CONNECTION_DURATION)
                .with_unit("s")
                .with_description("Age of connections to upstreams when they were closed")
                .with_boundaries(AGES.to_vec())
                .build(),
        }
    }
}

impl OutgoingMeasure {
    pub(super) fn new(
        instruments: &Arc<Instruments>,
        service: &Arc<str>,
        method: &Method,
        uri: &Uri,
    ) -> Self {
        let mut attributes = Vec::with_capacity(ATTRIBUTES);
        attributes.push(KeyValue::new(SERVICE, service.clone()));
        let method = known_method(method).unwrap_or(OTHER_METHOD);
        attributes.push(KeyValue::new(HTTP_REQUEST_METHOD, method));
        let scheme = match uri.scheme_str() {
            Some("https") => "https",
            _ => "http",
        };
        attributes.push(KeyValue::new(URL_SCHEME, scheme));
        if let Some(authority) = uri.authority() {
            let (address, port) = address_and_port(authority, scheme);
            attributes.push(KeyValue::new(SERVER_ADDRESS, address));
            attributes.extend(port.map(|port| KeyValue::new(SERVER_PORT, i64::from(port))));
        }
        Self(Some(Box::new(Measured {
            instruments: instruments.clone(),
            started: Instant::now(),
            attributes,
        })))
    }

    /// Records the end of the outgoing request: its response is complete, or never will be.
    pub(crate) fn end(
        &mut self,
        status: Option<StatusCode>,
        version: Option<&'static str>,
        error: Option<Cow<'static, str>>,
    ) {
        let Some(measured) = self.0.take() else {
            return;
        };
        let Measured {
            instruments,
            started,
            mut attributes,
        } = *measured;
        let seconds = started.elapsed().as_secs_f64();
        attributes.extend(version.map(|version| KeyValue::new(NETWORK_PROTOCOL_VERSION, version)));
        attributes.extend(outcome(status, error));
        instruments.outgoing.duration.record(seconds, &attributes);
    }
}

headwater_core::debug_fields!(Measured { attributes });
