//! The order in which instances are ended to make room.

use std::sync::Arc;

use super::service::Service;

/// A pool whose instances can give way to a service that needs places.
pub(crate) trait GivesWay: Send + Sync {
    fn idle(&self) -> usize;

    /// Ends an idle instance. Returns true if there was one.
    fn evict(self: Arc<Self>) -> bool;

    /// Ends a busy instance after its current requests, unless it is the only one that takes requests.
    /// Returns true if there was one.
    fn give_way(self: Arc<Self>) -> bool;
}

pub(super) type ServicePool = (Arc<Service>, Arc<dyn GivesWay>);

/// Ends idle instances until this many places are free. Returns the number of freed places.
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

/// Asks busy instances for this many places, of services that even then have more than `to`. Returns
/// the number asked for.
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
