//! The limits on the requests of one service.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::Fault;

use crate::admission::in_flight::{InFlightCount, InFlightPermit};
use crate::admission::limits::RouteLimits;
use crate::admission::rate::Bucket;

/// When a refused client may retry: requests commonly take milliseconds, and `Retry-After` counts seconds.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits of one service and the counts against them. Clones are cheap and share the counts, so that the
/// routes of a new router go on with those of the old.
#[derive(Debug, Clone)]
pub struct ServiceLimits(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    in_flight: Option<Arc<InFlightCount>>,
    bucket: Option<Bucket>,
}

// === impl ServiceLimits ===

impl ServiceLimits {
    /// Makes limits against which nothing counts yet.
    #[must_use]
    pub fn new(limits: &RouteLimits) -> Self {
        let RouteLimits {
            max_in_flight,
            rate,
            max_body: _,
        } = *limits;
        Self(Arc::new(Counted {
            in_flight: max_in_flight.map(|limit| InFlightCount::up_to(Some(limit))),
            bucket: rate.map(Bucket::new),
        }))
    }

    /// Takes a place for a request, or returns the reason for a refusal.
    pub(crate) fn enter(&self) -> Result<Option<InFlightPermit>, Fault> {
        if let Some(bucket) = &self.0.bucket {
            bucket.take().map_err(|wait| {
                Fault::too_many_requests(
                    "service_rate",
                    "the service gets requests too often",
                    wait,
                )
            })?;
        }
        match &self.0.in_flight {
            Some(in_flight) => match in_flight.enter() {
                Some(place) => Ok(Some(place)),
                None => Err(Fault::overload("service_in_flight", RETRY_AFTER)),
            },
            None => Ok(None),
        }
    }
}
