use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Version};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Histogram, Meter, UpDownCounter};
use opentelemetry_semantic_conventions::metric::{
    HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION,
};

use super::{Instruments, SECONDS, outcome};
use crate::attributes::{
    HTTP_REQUEST_METHOD, HTTP_ROUTE, NETWORK_PROTOCOL_VERSION, SERVICE, URL_SCHEME,
};
use crate::span::{OTHER_METHOD, known_method, protocol_version};

/// The instruments of incoming requests, by the semantic conventions for HTTP servers.
pub(super) struct RequestInstruments {
    duration: Histogram<f64>,
    active: UpDownCounter<i64>,
}

/// The start of an incoming request.
#[derive(Debug)]
pub struct RequestStart<'a> {
    /// The method.
    pub method: &'a Method,
    /// True if the client uses TLS.
    pub tls: bool,
    /// The version of HTTP.
    pub version: Version,
    /// The service that answers; empty if none does.
    pub service: &'a Arc<str>,
    /// The route pattern that matched; empty if none did.
    pub route: &'a Arc<str>,
    /// The time at which the request's head had arrived.
    pub started: Instant,
}

/// The measurement of one incoming request. While it lives, the request counts as active.
#[derive(Debug, Default)]
pub struct RequestMeasure(Option<Box<Measured>>);

struct Measured {
    instruments: Arc<Instruments>,
    started: Instant,
    attributes: Vec<KeyValue>,
    /// The number of attributes, from the first, that an active request is counted under.
    active: usize,
}

/// Method, scheme and service; then route, version, status and error.
const ATTRIBUTES: usize = 7;

impl RequestInstruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            duration: meter
                .f64_histogram(HTTP_SERVER_REQUEST_DURATION)
                .with_unit("s")
                .with_description("Time from a request's head to the last byte of its answer")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            active: meter
                .i64_up_down_counter(HTTP_SERVER_ACTIVE_REQUESTS)
                .with_unit("{request}")
                .with_description("Requests that are being answered")
                .build(),
        }
    }
}

impl RequestMeasure {
    pub(super) fn new(instruments: &Arc<Instruments>, request: RequestStart<'_>) -> Self {
        let RequestStart {
            method,
            tls,
            version,
            service,
            route,
            started,
        } = request;
        let mut attributes = Vec::with_capacity(ATTRIBUTES);
        let method = known_method(method).unwrap_or(OTHER_METHOD);
        attributes.push(KeyValue::new(HTTP_REQUEST_METHOD, method));
        let scheme = if tls { "https" } else { "http" };
        attributes.push(KeyValue::new(URL_SCHEME, scheme));
        if !service.is_empty() {
            attributes.push(KeyValue::new(SERVICE, service.clone()));
        }
        let active = attributes.len();
        instruments.request.active.add(1, &attributes);
        if !route.is_empty() {
            attributes.push(KeyValue::new(HTTP_ROUTE, route.clone()));
        }
        let version = protocol_version(version);
        attributes.extend(version.map(|version| KeyValue::new(NETWORK_PROTOCOL_VERSION, version)));
        Self(Some(Box::new(Measured {
            instruments: instruments.clone(),
            started,
            attributes,
            active,
        })))
    }

    /// Records the end of the request: its answer was sent to the last byte, or never will be.
    /// Without this call the request has no duration.
    pub fn end(&mut self, status: Option<StatusCode>, error: Option<Cow<'static, str>>) {
        let Some(mut measured) = self.0.take() else {
            return;
        };
        let seconds = measured.started.elapsed().as_secs_f64();
        measured.attributes.extend(outcome(status, error));
        let duration = &measured.instruments.request.duration;
        duration.record(seconds, &measured.attributes);
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        let attributes = &self.attributes[..self.active];
        self.instruments.request.active.add(-1, attributes);
    }
}

headwater_core::debug_fields!(Measured { attributes });
