use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use http::{Method, StatusCode, Version};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, BoundUpDownCounter, Histogram, Meter, UpDownCounter};
use opentelemetry_semantic_conventions::metric::{
    HTTP_SERVER_ACTIVE_REQUESTS, HTTP_SERVER_REQUEST_DURATION,
};
use parking_lot::Mutex;

use super::bound::{Address, Kept, Number, with_kept};
use super::{SECONDS, outcome};
use crate::attributes::{
    HTTP_REQUEST_METHOD, HTTP_ROUTE, NETWORK_PROTOCOL_VERSION, SERVICE, URL_SCHEME,
};
use crate::span::{OTHER_METHOD, known_method, protocol_version};

/// The instruments of incoming requests, by the semantic conventions for HTTP servers.
pub(super) struct RequestInstruments {
    number: Number,
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
#[derive(Default)]
pub struct RequestMeasure(Option<Measured>);

struct Measured {
    bound: Arc<Bound>,
    started: Instant,
}

/// The instruments for requests of the same attributes.
struct Bound {
    /// Method, scheme and service; then route and version. They own the texts of the key.
    attributes: Vec<KeyValue>,
    active: BoundUpDownCounter<i64>,
    duration: Histogram<f64>,
    /// Those of requests without an error, by status.
    durations: Mutex<Vec<(StatusCode, BoundHistogram<f64>)>>,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    instruments: Number,
    method: &'static str,
    tls: bool,
    version: Version,
    service: Address,
    route: Address,
}

/// A service that uses more different statuses than this has a slower measurement for the others.
const STATUSES: usize = 16;

/// The maximum number of a request's attributes, with its status and its error.
const ATTRIBUTES: usize = 7;

thread_local! {
    static BOUND: Kept<Key, Arc<Bound>> = Kept::default();
}

// === impl RequestInstruments ===

impl RequestInstruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            number: Number::next(),
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

    fn bind(&self, method: &'static str, request: &RequestStart<'_>) -> Bound {
        let mut attributes = Vec::with_capacity(ATTRIBUTES);
        attributes.push(KeyValue::new(HTTP_REQUEST_METHOD, method));
        let scheme = if request.tls { "https" } else { "http" };
        attributes.push(KeyValue::new(URL_SCHEME, scheme));
        if !request.service.is_empty() {
            attributes.push(KeyValue::new(SERVICE, request.service.clone()));
        }
        let active = self.active.bind(&attributes);
        if !request.route.is_empty() {
            attributes.push(KeyValue::new(HTTP_ROUTE, request.route.clone()));
        }
        let version = protocol_version(request.version);
        attributes.extend(version.map(|version| KeyValue::new(NETWORK_PROTOCOL_VERSION, version)));
        Bound {
            attributes,
            active,
            duration: self.duration.clone(),
            durations: Mutex::default(),
        }
    }
}

// === impl RequestMeasure ===

impl RequestMeasure {
    pub(super) fn new(instruments: &RequestInstruments, request: &RequestStart<'_>) -> Self {
        let method = known_method(request.method).unwrap_or(OTHER_METHOD);
        let key = Key {
            instruments: instruments.number,
            method,
            tls: request.tls,
            version: request.version,
            service: Address::of(request.service),
            route: Address::of(request.route),
        };
        let make = || Arc::new(instruments.bind(method, request));
        let bound = with_kept(&BOUND, key, make, Arc::clone);
        bound.active.add(1);
        Self(Some(Measured {
            bound,
            started: request.started,
        }))
    }

    /// Records the end of the request: its answer was sent to the last byte, or never will be.
    /// Without this call the request has no duration.
    pub fn end(&mut self, status: Option<StatusCode>, error: Option<Cow<'static, str>>) {
        if let Some(measured) = self.0.take() {
            let seconds = measured.started.elapsed().as_secs_f64();
            measured.bound.record(seconds, status, error);
        }
    }
}

impl fmt::Debug for RequestMeasure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes = self.0.as_ref().map(|measured| &measured.bound.attributes);
        f.debug_tuple("RequestMeasure").field(&attributes).finish()
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.bound.active.add(-1);
    }
}

// === impl Bound ===

impl Bound {
    fn record(&self, seconds: f64, status: Option<StatusCode>, error: Option<Cow<'static, str>>) {
        if let (Some(status), None) = (status, &error) {
            let mut durations = self.durations.lock();
            if let Some((_, bound)) = durations.iter().find(|(of, _)| *of == status) {
                return bound.record(seconds);
            }
            if durations.len() < STATUSES {
                let bound = self.duration.bind(&self.with(Some(status), None));
                bound.record(seconds);
                return durations.push((status, bound));
            }
        }
        self.duration.record(seconds, &self.with(status, error));
    }

    fn with(&self, status: Option<StatusCode>, error: Option<Cow<'static, str>>) -> Vec<KeyValue> {
        let attributes = self.attributes.iter().cloned();
        attributes.chain(outcome(status, error)).collect()
    }
}
