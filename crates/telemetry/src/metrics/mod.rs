//! Metrics, by OpenTelemetry's API.
//!
//! Whoever measures is given a [`Metrics`]; there is no global one. Names, units and attributes are
//! OpenTelemetry's where its semantic conventions have them, and `headwater.*` otherwise.

mod call;
mod outgoing;
mod request;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::Attribution;
use http::{Method, Uri};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter, MeterProvider, NoopMeterProvider};

use crate::Outputs;
use crate::attributes::{
    ATTRIBUTION, ATTRIBUTION_DOUBT, ATTRIBUTION_WITNESS, OUTPUT, SERVER_ADDRESS, SERVER_PORT,
    SERVICE,
};

use self::call::CallInstruments;
use self::outgoing::OutgoingInstruments;
pub use self::outgoing::OutgoingMeasure;
use self::request::RequestInstruments;
pub use self::request::{RequestMeasure, RequestStart};

/// Bounds of the buckets for the time of requests, in seconds: those of the semantic conventions
/// for `http.server.request.duration`, and four below them. A request to a guest takes a few tenths of a
/// millisecond.
const SECONDS: [f64; 18] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0,
    2.5, 5.0, 7.5, 10.0,
];

/// What is measured with. Cheap to clone; the default measures nothing and costs nothing.
#[derive(Clone, Default)]
pub struct Metrics(Option<Arc<Instruments>>);

/// The instruments that are used as things happen. Those that are observed are made by whoever knows
/// what to observe, with [`Metrics::meter`].
struct Instruments {
    meter: Meter,
    request: RequestInstruments,
    outgoing: OutgoingInstruments,
    call: CallInstruments,
    queue_wait: Histogram<f64>,
    attributed: Counter<u64>,
    doubts: Counter<u64>,
}

impl Metrics {
    /// Measures with the instruments of this meter.
    #[must_use]
    pub fn new(meter: Meter) -> Self {
        let instruments = Instruments {
            request: RequestInstruments::new(&meter),
            outgoing: OutgoingInstruments::new(&meter),
            call: CallInstruments::new(&meter),
            queue_wait: meter
                .f64_histogram("headwater.pool.queue.wait")
                .with_unit("s")
                .with_description("How long requests waited for an instance")
                .with_boundaries(SECONDS.to_vec())
                .build(),
            attributed: meter
                .u64_counter("headwater.attribution.calls")
                .with_unit("{call}")
                .with_description("Outgoing requests, by what is known of whom they were made for")
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

    /// Whether anything is measured.
    #[must_use]
    pub fn enabled(&self) -> bool {
        self.0.is_some()
    }

    /// Makes further instruments. If nothing is measured, they do nothing.
    #[must_use]
    pub fn meter(&self) -> Meter {
        match &self.0 {
            Some(instruments) => instruments.meter.clone(),
            None => NoopMeterProvider::new().meter("headwater"),
        }
    }

    /// Measures how many records each of these outputs loses. [`build`](crate::build) does so.
    pub fn observe_outputs(&self, outputs: &Outputs) {
        let outputs = outputs.clone();
        self.meter()
            .u64_observable_counter("headwater.output.lost")
            .with_unit("{record}")
            .with_description("Records that could not be written, or not fast enough, by output")
            .with_callback(move |lost| {
                for (output, counts) in outputs.counts() {
                    lost.observe(counts.lost, &[KeyValue::new(OUTPUT, output.as_str())]);
                }
            })
            .build();
    }

    /// Measures an incoming request, from now on.
    #[must_use]
    pub fn begin_request(&self, request: RequestStart<'_>) -> RequestMeasure {
        match &self.0 {
            Some(instruments) => RequestMeasure::new(instruments, request),
            None => RequestMeasure::default(),
        }
    }

    /// Measures an outgoing request of this service, from now on.
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

    /// A connection of this service to an upstream was closed at this age.
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

    /// A request to this service has waited for an instance, and was given to one.
    pub fn queued(&self, service: &Arc<str>, wait: Duration) {
        if let Some(instruments) = &self.0 {
            let service = KeyValue::new(SERVICE, service.clone());
            instruments
                .queue_wait
                .record(wait.as_secs_f64(), &[service]);
        }
    }

    /// A guest of this service calls out.
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

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics")
            .field("enabled", &self.enabled())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
