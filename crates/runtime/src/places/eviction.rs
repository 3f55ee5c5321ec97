//! How room is made: who gives it up, and in which order.

use std::sync::Arc;

use super::service::Service;

/// A pool of instances, as those see it who need places.
pub(crate) trait GivesWay: Send + Sync {
    /// How many of its instances have nothing to do.
    fn idle(&self) -> usize;

    /// Ends one of these. Says whether there was one.
    fn evict(self: Arc<Self>) -> bool;

    /// Ends one that has requests, as soon as it has done them, unless it is the only one that takes
    /// requests. Says whether there was one.
    fn give_way(self: Arc<Self>) -> bool;
}

/// The pool of a service.
pub(super) type ServicePool = (Arc<Service>, Arc<dyn GivesWay>);

/// Ends instances with nothing to do, of so many places. Says of how many.
pub(super) fn evict(pools: &[ServicePool], missing: u32) -> u32 {
    let mut evicted = 0;
    for (service, pool) in pools {
        let mut idle = if evicted < missing { pool.idle() } else { 0 };
        while evicted < missing && idle > 0 && pool.clone().evict() {
            evicted += service.footprint.places();
            idle -= 1;
        }
    }
    evicted
}

/// Asks instances at work for so many places, of services that have more than this one even then. Says
/// how many were asked for.
pub(super) fn give_way(pools: &[ServicePool], to: &Service, missing: u32) -> u32 {
    let mut asked = 0;
    for (service, pool) in pools {
        let gives = service.footprint.places();
        let mut has = service.has();
        while asked < missing
            && has.saturating_sub(gives) >= to.would_have()
            && pool.clone().give_way()
        {
            asked += gives;
            has -= gives;
        }
    }
    asked
}
