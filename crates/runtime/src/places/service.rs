use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use super::eviction::GivesWay;
use super::queue::{Waiting, next};
use super::shortage::NoPlace;
use super::{Footprint, Places};

/// The time after which a waiter asks others for a place again.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// A service in the view of the engine: the size of its instances, and the places that it has.
#[derive(Clone)]
pub struct ServicePlaces(pub(super) Arc<Service>);

/// The shared state of a service.
pub(super) struct Service {
    pub(super) places: Arc<Places>,
    pub(super) name: Arc<str>,
    pub(super) footprint: Footprint,
    pub(super) has: AtomicU32,
    pub(super) waiting: AtomicUsize,
    pub(super) pool: OnceLock<Weak<dyn GivesWay>>,
}

/// The places of one instance, until it is dropped.
pub struct InstancePlaces(pub(super) Arc<Service>);

// === impl ServicePlaces ===

impl ServicePlaces {
    pub(crate) fn set_pool(&self, pool: Weak<dyn GivesWay>) {
        // It is set only once.
        let _ = self.0.pool.set(pool);
    }

    /// Returns the places of one instance, if they are free and no service with less waits.
    #[must_use]
    pub fn try_take(&self) -> Option<InstancePlaces> {
        let Self(service) = self;
        let places = &service.places;
        if places.waiting.load(Ordering::SeqCst) > 0 {
            let queue = places.queue.lock();
            let would_have = service.would_have();
            if next(&queue).is_some_and(|next| queue[next].service.would_have() <= would_have) {
                return None;
            }
        }
        places
            .claim(service)
            .then(|| InstancePlaces(service.clone()))
    }

    /// Waits for the places of one instance, for as long as `wanted` returns true.
    ///
    /// # Errors
    ///
    /// Returns an error if they are no longer wanted and were not free.
    pub async fn take(&self, wanted: impl Fn() -> bool) -> Result<InstancePlaces, NoPlace> {
        if let Some(places) = self.try_take() {
            return Ok(places);
        }
        let mut waiting = Waiting::begin(&self.0);
        while wanted() {
            self.0.places.make_room(&mut waiting);
            // The other end is dropped only after it has sent.
            if let Ok(Ok(places)) = tokio::time::timeout(ASK_AGAIN, &mut waiting.granted).await {
                return Ok(places);
            }
        }
        Err(self.0.no_place())
    }

    /// Returns the reason why there is no room for one more instance, for callers that did not get it
    /// from [`ServicePlaces::take`].
    #[must_use]
    pub fn no_place(&self) -> NoPlace {
        self.0.no_place()
    }

    /// Returns the reason while a start waits for places.
    pub(crate) fn missing(&self) -> Option<NoPlace> {
        let waits = self.0.waiting.load(Ordering::Relaxed) > 0;
        waits.then(|| self.0.no_place())
    }
}

// === impl Service ===

impl Service {
    pub(super) fn has(&self) -> u32 {
        self.has.load(Ordering::Relaxed)
    }

    pub(super) fn would_have(&self) -> u32 {
        self.has() + self.footprint.places()
    }

    fn no_place(&self) -> NoPlace {
        let services = self.places.joined.lock();
        let services: Vec<_> = services.iter().filter_map(Weak::upgrade).collect();
        let largest = services.iter().max_by_key(|service| service.has());
        NoPlace {
            service: self.name.clone(),
            footprint: self.footprint,
            free: self.places.free(),
            total: self.places.total,
            largest: largest.map(|largest| (largest.name.clone(), largest.has())),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.places.services.fetch_sub(1, Ordering::Relaxed);
    }
}

// === impl InstancePlaces ===

impl Drop for InstancePlaces {
    fn drop(&mut self) {
        self.0.places.give_back(&self.0);
    }
}

impl fmt::Debug for ServicePlaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ServicePlaces").field(&self.0.name).finish()
    }
}
