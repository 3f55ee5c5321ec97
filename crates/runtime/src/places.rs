//! The places of the engine, and how services share them.
//!
//! A place is room for one linear memory, which is 4 GiB of address space, and for a few tables. An
//! instance takes as many as it has memories: a module one, a component that was composed of twenty
//! others twenty. What one instance takes is known when its guest is loaded ([`Footprint`]), and it is
//! taken as a whole before the instance is started, so that no start fails half-way for want of the
//! rest.
//!
//! Services share by three rules, of which none costs anything while there is room:
//!
//! 1. A tenth of the places is for services that have less than an equal share.
//! 2. Those who wait are served in the order of what they will have then, the least first. So an instance of
//!    fifty memories is not passed for ever by services that have more than fifty places, and services that
//!    have less need not wait for it.
//! 3. While somebody waits, others give way: an instance that has nothing to do ends, of the service with
//!    the most places first; where there is none, one that is at work in a service that has more than
//!    the one that waits takes no new requests, and ends when it has done those that it has.
//!
//! wasmtime's own limits are those of each of its engines, and never the first to be met: see
//! `engine::allocation`.

mod eviction;
mod footprint;
mod queue;
mod service;
mod shortage;

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

pub(crate) use self::eviction::GivesWay;
use self::eviction::{ServicePool, evict, give_way};
pub(crate) use self::footprint::{Footprint, TABLES_PER_PLACE};
use self::queue::{Waiter, Waiting, next};
use self::service::Service;
pub use self::service::{InstancePlaces, ServicePlaces};
pub use self::shortage::{NoPlace, TooLarge};

/// The part of all places that is for services with less than an equal share.
const RESERVED: u32 = 10;

/// The places of an engine.
pub(crate) struct Places {
    total: u32,
    taken: AtomicU32,
    /// Services that may take places.
    services: AtomicU32,
    joined: Mutex<Vec<Weak<Service>>>,
    /// Entries of the queue, for those who give a place back and need not look.
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
    /// When there is never room for one instance of it.
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
        let mut services = lock(&self.joined);
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
        // Either this sees who waits, or who waits sees the places: `Waiting::begin`.
        if self.waiting.load(Ordering::SeqCst) > 0 {
            self.grant();
        }
    }

    /// Gives those who wait what is there.
    fn grant(&self) {
        let mut granted = Vec::new();
        {
            let mut queue = lock(&self.queue);
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
            // Of one who waits no more they are given back, and to the next.
            drop(to.send(places));
        }
    }

    /// Has others give way to those who wait, if this one is the next to be served.
    fn make_room(&self, waiting: &mut Waiting) {
        let in_all = {
            let queue = lock(&self.queue);
            match next(&queue) {
                Some(next) if queue[next].number == waiting.number => {}
                _ => return,
            }
            let takes = queue.iter().map(|waiter| waiter.service.footprint.places());
            takes.sum()
        };
        let free = self.free();
        // Asked without a lock held: pools take locks of their own.
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

    /// The services that have pools, those with the most places first.
    fn pools(&self) -> Vec<ServicePool> {
        let services = lock(&self.joined);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
