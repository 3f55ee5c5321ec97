//! The places of the engine, and how services share them.
//!
//! A place is room for one linear memory, which is 4 GiB of address space, and for a few tables. An instance
//! takes one for each of its memories: a module one, a component composed of twenty others twenty. The
//! number is known when the guest is loaded ([`Footprint`]). All places of an instance are taken together
//! before it is started, so that no start fails half-way.
//!
//! Services share by three rules. They cost nothing while there is room:
//!
//! 1. A tenth of the places is for services that have less than an equal share.
//! 2. Waiting services are served in the order of the places that they will have then, the least first. So
//!    services with more than fifty places cannot starve an instance of fifty memories, and services that
//!    have less need not wait for it.
//! 3. While a service waits, others give way. An idle instance ends, of the service with the most places
//!    first. If there is none, a busy instance of a service that has more than the waiting one takes no new
//!    requests, and ends after its current ones.
//!
//! wasmtime's own limits apply to each engine, and are never reached first: see `engine::allocation`.

mod eviction;
mod footprint;
mod queue;
mod service;
mod shortage;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;

pub(crate) use self::eviction::GivesWay;
use self::eviction::{ServicePool, evict, give_way};
pub(crate) use self::footprint::{Footprint, TABLES_PER_PLACE};
use self::queue::{Waiter, Waiting, next};
use self::service::Service;
pub use self::service::{InstancePlaces, ServicePlaces};
pub use self::shortage::{NoPlace, TooLarge};

/// The share of all places that is reserved for services with less than an equal share: one part in this
/// many.
const RESERVED: u32 = 10;

pub(crate) struct Places {
    total: u32,
    taken: AtomicU32,
    /// The number of services that may take places.
    services: AtomicU32,
    joined: Mutex<Vec<Weak<Service>>>,
    /// The length of the queue, so that giving a place back need not lock it.
    waiting: AtomicUsize,
    queue: Mutex<Vec<Waiter>>,
    next: AtomicU64,
}

// === impl Places ===

impl Places {
    pub(crate) fn new(total: u32) -> Arc<Self> {
        Arc::new(Self {
            total,
            taken: AtomicU32::new(0),
            services: AtomicU32::new(0),
            joined: Mutex::default(),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Adds a service, for as long as it or one of its instances lives.
    ///
    /// # Errors
    ///
    /// Returns an error if one instance needs more than there is.
    pub(crate) fn join(
        self: &Arc<Self>,
        name: Arc<str>,
        footprint: Footprint,
    ) -> Result<ServicePlaces, TooLarge> {
        if footprint.places() > self.total {
            let total = self.total;
            return Err(TooLarge { footprint, total });
        }
        self.services.fetch_add(1, Ordering::Relaxed);
        let service = Arc::new(Service {
            places: self.clone(),
            name,
            footprint,
            has: AtomicU32::new(0),
            waiting: AtomicUsize::new(0),
            pool: OnceLock::new(),
        });
        let mut services = self.joined.lock();
        services.retain(|service| service.strong_count() > 0);
        services.push(Arc::downgrade(&service));
        Ok(ServicePlaces(service))
    }

    fn free(&self) -> u32 {
        self.total
            .saturating_sub(self.taken.load(Ordering::Relaxed))
    }

    /// Counts the places of one instance as taken, if there are enough.
    fn claim(&self, service: &Service) -> bool {
        let takes = service.footprint.places();
        let has = service.has.fetch_add(takes, Ordering::SeqCst);
        let share = self.total / self.services.load(Ordering::Relaxed).max(1);
        let reserved = match has > 0 && has + takes > share {
            true => self.total / RESERVED,
            false => 0,
        };
        let order = Ordering::SeqCst;
        let taken = self.taken.fetch_update(order, order, |taken| {
            let after = taken + takes;
            (after + reserved <= self.total).then_some(after)
        });
        if taken.is_err() {
            service.has.fetch_sub(takes, Ordering::SeqCst);
        }
        taken.is_ok()
    }

    fn give_back(&self, service: &Service) {
        let takes = service.footprint.places();
        service.has.fetch_sub(takes, Ordering::SeqCst);
        self.taken.fetch_sub(takes, Ordering::SeqCst);
        // Either this sees the waiter, or the waiter sees the places: `Waiting::begin`.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.grant();
        }
    }

    /// Gives free places to waiters.
    fn grant(&self) {
        let mut granted = Vec::new();
        {
            let mut queue = self.queue.lock();
            while let Some(next) = next(&queue) {
                if !self.claim(&queue[next].service) {
                    break;
                }
                let Waiter {
                    service,
                    granted: to,
                    ..
                } = queue.remove(next);
                granted.push((to, InstancePlaces(service)));
            }
            self.waiting.store(queue.len(), Ordering::SeqCst);
        }
        for (to, places) in granted {
            // If the waiter is gone, dropping gives them back and to the next.
            drop(to.send(places));
        }
    }

    /// Makes others give way to the waiters, if this one is the next to be served.
    fn make_room(&self, waiting: &mut Waiting) {
        let in_all = {
            let queue = self.queue.lock();
            match next(&queue) {
                Some(next) if queue[next].number == waiting.number => {}
                _ => return,
            }
            let takes = queue.iter().map(|waiter| waiter.service.footprint.places());
            takes.sum()
        };
        let free = self.free();
        // Called without a lock: pools take locks of their own.
        let pools = self.pools();
        let evicted = evict(&pools, u32::saturating_sub(in_all, free));
        let takes = waiting.service.footprint.places();
        let missing = takes.saturating_sub(free + evicted);
        waiting.asked += give_way(
            &pools,
            &waiting.service,
            missing.saturating_sub(waiting.asked),
        );
    }

    fn pools(&self) -> Vec<ServicePool> {
        let services = self.joined.lock();
        let services = services.iter().filter_map(Weak::upgrade);
        let pools = services.filter_map(|service| {
            let pool = service.pool.get()?.upgrade()?;
            Some((service, pool))
        });
        let mut pools: Vec<_> = pools.collect();
        pools.sort_by_key(|(service, _)| std::cmp::Reverse(service.has()));
        pools
    }
}

#[cfg(test)]
mod tests;
