use std::time::Duration;

use headwater_core::Verdict;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram, Meter};

use super::{Metrics, SECONDS};
use crate::attributes::{ATTRIBUTION, FUNCTION, INTERFACE, OUTCOME, SERVICE};
use crate::{CallOutcome, GuestCall};

pub(super) struct CallInstruments {
    calls: Counter<u64>,
    duration: Histogram<f64>,
}

impl CallInstruments {
    pub(super) fn new(meter: &Meter) -> Self {
        Self {
            calls: meter
                .u64_counter("headwater.capability.calls")
                .with_unit("{call}")
                .with_description("Guests' calls of host interfaces")
                .build(),
            duration: meter
                .f64_histogram("headwater.capability.duration")
                .with_unit("s")
                .with_description("Duration of guests' calls of host interfaces")
                .with_boundaries(SECONDS.to_vec())
                .build(),
        }
    }
}

impl Metrics {
    /// Records a guest's finished call of a host interface. The verdict is absent if the call was not
    /// attributed, the time if it was not measured.
    pub fn called(
        &self,
        call: GuestCall<'_>,
        outcome: CallOutcome,
        verdict: Option<Verdict>,
        took: Option<Duration>,
    ) {
        let Some(instruments) = &self.0 else { return };
        let mut attributes = vec![
            KeyValue::new(SERVICE, call.service.clone()),
            KeyValue::new(INTERFACE, call.interface),
            KeyValue::new(FUNCTION, call.function),
            KeyValue::new(OUTCOME, outcome.as_str()),
        ];
        attributes.extend(verdict.map(|verdict| KeyValue::new(ATTRIBUTION, verdict.as_str())));
        instruments.call.calls.add(1, &attributes);
        if let Some(took) = took {
            let duration = &instruments.call.duration;
            duration.record(took.as_secs_f64(), &attributes);
        }
    }
}
