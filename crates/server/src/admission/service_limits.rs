//! What bounds the requests of one service.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::Fault;

use crate::admission::in_flight::{InFlightCount, InFlightPermit};
use crate::admission::limits::RouteLimits;
use crate::admission::rate::Bucket;

/// When a client may try again for whom there was no place: requests take milliseconds commonly, and
/// `Retry-After` counts seconds.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The limits of one service, with what counts against them. Cheap to clone; the clones count together,
/// so that routes of a router that replaces another can go on with what was counted.
#[derive(Debug, Clone)]
pub struct ServiceLimits(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    in_flight: Option<Arc<InFlightCount>>,
    bucket: Option<Bucket>,
}

// === impl ServiceLimits ===

impl ServiceLimits {
    /// A gate that nobody has come through yet.
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

    /// Lets a request in, or says why not.
    pub(crate) fn enter(&self) -> Result<Option<InFlightPermit>, Fault> {
        if let Some(bucket) = &self.0.bucket {
            bucket.take().map_err(|wait| {
                Fault::too_many_requests(
                    "service_rate",
                    "the service is asked more often than it may be",
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
