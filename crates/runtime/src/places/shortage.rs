//! Errors about missing room.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use headwater_core::Fault;

use super::Footprint;

/// The `retry-after` of a full engine. Requests are short; a second is long for them.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// There is no room for one more instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlace {
    pub(super) service: Arc<str>,
    pub(super) footprint: Footprint,
    pub(super) free: u32,
    pub(super) total: u32,
    /// The service with the most places, and their number.
    pub(super) largest: Option<(Arc<str>, u32)>,
}

/// An instance of a guest needs more than the engine has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "an instance of it takes {}, and this host has {total}: raise `places` in [server], or --places, as \
     far as the limit on address space allows (`ulimit -v`)",
    .footprint
)]
pub struct TooLarge {
    pub(super) footprint: Footprint,
    pub(super) total: u32,
}

// === impl NoPlace ===

impl NoPlace {
    /// Returns the response to a request that needs the instance.
    #[must_use]
    pub fn into_fault(self) -> Fault {
        Fault::overload("instance_limit", RETRY_AFTER)
            .summarized("the server has no room for one more instance of the service (`places`)")
            .caused_by(self)
    }
}

impl fmt::Display for NoPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            service,
            footprint,
            free,
            total,
            largest,
        } = self;
        write!(
            f,
            "an instance of `{service}` takes {footprint}, and {free} of {total} are free"
        )?;
        if let Some((largest, has)) = largest.as_ref().filter(|(_, has)| *has > 0) {
            write!(f, "; `{largest}` has {has}")?;
        }
        f.write_str(
            ": raise `places` in [server], or --places, or lower `max_instances` of a service",
        )
    }
}

impl std::error::Error for NoPlace {}
