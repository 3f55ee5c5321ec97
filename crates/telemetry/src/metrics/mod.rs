//! Metrics, by OpenTelemetry's API.
//!
//! Code that measures is passed a [`Metrics`]; there is no global one. Names, units and attributes are
//! OpenTelemetry's if its semantic conventions have them, and `headwater.*` otherwise.

mod bound;
mod call;
mod outgoing;
mod request;

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::Attribution;
use http::{Method, StatusCode, Uri};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    BoundHistogram, Counter, Histogram, Meter, MeterProvider, NoopMeterProvider,
};

use crate::Outputs;
use crate::attributes::{
    ATTRIBUTION, ATTRIBUTION_DOUBT, ATTRIBUTION_WITNESS, ERROR_TYPE, HTTP_RESPONSE_STATUS_CODE,
    OUTPUT, SERVER_ADDRESS, SERVER_PORT, SERVICE,
};

use self::bound::{Address, Kept, Number, with_kept};
use self::call::CallInstruments;
use self::outgoing::OutgoingInstruments;
pub use self::outgoing::OutgoingMeasure;
use self::request::RequestInstruments;
pub use self::request::{RequestMeasure, RequestStart};

/// The bucket bounds of request durations, in seconds: those of the semantic conventions for
/// `http.server.request.duration`, and four below them. A request to a guest takes a few tenths of a
/// millisecond.
const SECONDS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0,
    2.5, 5.0, 7.5, 10.0,
];

/// The metrics. Cheap to clone; the default measures nothing and costs nothing.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Instruments>>);

/// The instruments of events. Observed instruments are created by their owners, with [`Metrics::meter`].
struct Instruments {
    number: Number,
    meter: Meter,
    request: RequestInstruments,
    outgoing: OutgoingInstruments,
    call: CallInstruments,
    queue_wait: Histogram<f64>,
    attributed: Counter<u64>,
    doubts: Counter<u64>,
}

impl Metrics {
    /// Creates metrics with the instruments of this meter.
    #[must_use]
    pub fn new(meter: Meter) -> Self {
        let instruments = Instruments {
            number: Number::next(),
            request: RequestInstruments::new(&meter),
            outgoing: OutgoingInstruments::new(&meter),
            call: CallInstruments::new(&meter),
            queue_wait: meter
                .f64_histogram("headwater.pool.queue.wait")
                .with_unit("s")
                .with_description("Time that requests waited for an instance")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            attributed: meter
                .u64_counter("headwater.attribution.calls")
                .with_unit("{call}")
                .with_description("Outgoing requests, by attribution")
                .build(),
            doubts: meter
                .u64_counter("headwater.attribution.doubts")
                .with_unit("{call}")
                .with_description(
                    "Outgoing requests that may have been made for another request than the one whose \
                     task made them, by reason",
                )
                .build(),
            meter,
        };
        Self(Some(Arc::new(instruments)))
    }

    /// Returns true if anything is measured.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Returns the meter for further instruments. Without metrics, they do nothing.
    #[must_use]
    pub fn meter(&self) -> Meter {
        match &self.0 {
            Some(instruments) => instruments.meter.clone(),
            None => NoopMeterProvider::new().meter("headwater"),
        }
    }

    /// Observes the number of records that each of these outputs loses. [`build`](crate::build) does so.
    pub fn observe_outputs(&self, outputs: &Outputs) {
        let outputs = outputs.clone();
        self.meter()
            .u64_observable_counter("headwater.output.lost")
            .with_unit("{record}")
            .with_description("Records that were lost, by output")
            .with_callback(move |lost| {
                for (output, counts) in outputs.counts() {
                    lost.observe(counts.lost, &[KeyValue::new(OUTPUT, output.as_str())]);
                }
            })
            .build();
    }

    /// Starts measuring an incoming request.
    #[must_use]
    pub fn begin_request(&self, request: RequestStart<'_>) -> RequestMeasure {
        match &self.0 {
            Some(instruments) => RequestMeasure::new(&instruments.request, &request),
            None => RequestMeasure::default(),
        }
    }

    /// Starts measuring an outgoing request of this service.
    #[must_use]
    pub fn begin_outgoing(
        &self,
        service: &Arc<str>,
        method: &Method,
        uri: &Uri,
    ) -> OutgoingMeasure {
        match &self.0 {
            Some(instruments) => OutgoingMeasure::new(instruments, service, method, uri),
            None => OutgoingMeasure::default(),
        }
    }

    /// Records the age of a closed connection of this service to an upstream.
    pub fn outgoing_connection_closed(
        &self,
        service: &Arc<str>,
        address: &Arc<str>,
        port: u16,
        age: Duration,
    ) {
        if let Some(instruments) = &self.0 {
            let attributes = [
                KeyValue::new(SERVICE, service.clone()),
                KeyValue::new(SERVER_ADDRESS, address.clone()),
                KeyValue::new(SERVER_PORT, i64::from(port)),
            ];
            let closed = &instruments.outgoing.connection;
            closed.record(age.as_secs_f64(), &attributes);
        }
    }

    /// Records the time that a request to this service waited for an instance.
    pub fn queued(&self, service: &Arc<str>, wait: Duration) {
        type Bound = (Arc<str>, BoundHistogram<f64>);
        thread_local! {
            static BOUND: Kept<(Number, Address), Bound> = Kept::default();
        }
        let Some(instruments) = &self.0 else {
            return;
        };
        let make = || {
            let attributes = [KeyValue::new(SERVICE, service.clone())];
            (service.clone(), instruments.queue_wait.bind(&attributes))
        };
        let key = (instruments.number, Address::of(service));
        with_kept(&BOUND, key, make, |(_, bound)| {
            bound.record(wait.as_secs_f64());
        });
    }

    /// Records the attribution of a call from a guest of this service.
    pub fn attributed(&self, service: &Arc<str>, attribution: &Attribution) {
        if let Some(instruments) = &self.0 {
            let attributes = [
                KeyValue::new(SERVICE, service.clone()),
                KeyValue::new(ATTRIBUTION, attribution.verdict().as_str()),
                KeyValue::new(ATTRIBUTION_WITNESS, attribution.witness().as_str()),
            ];
            instruments.attributed.add(1, &attributes);
            if let Some(doubt) = attribution.doubt() {
                let attributes = [
                    KeyValue::new(SERVICE, service.clone()),
                    KeyValue::new(ATTRIBUTION_DOUBT, doubt.as_str()),
                ];
                instruments.doubts.add(1, &attributes);
            }
        }
    }
}

/// Returns the attributes of how a request ended.
fn outcome(
    status: Option<StatusCode>,
    error: Option<Cow<'static, str>>,
) -> impl Iterator<Item = KeyValue> {
    let status = status.map(|status| i64::from(status.as_u16()));
    let status = status.map(|status| KeyValue::new(HTTP_RESPONSE_STATUS_CODE, status));
    let error = error.map(|error| KeyValue::new(ERROR_TYPE, error));
    status.into_iter().chain(error)
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
