use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The pools that share the places of one engine.
///
/// An instance that waits for its next request takes a place that a request of another service may
/// need. So whoever finds the engine full asks the neighbours to give one up.
#[derive(Default)]
pub(crate) struct Neighbours(Mutex<Vec<Weak<dyn Neighbour>>>);

/// A pool, as the others see it.
pub(crate) trait Neighbour: Send + Sync {
    /// How many of its instances have nothing to do.
    fn idle_instances(&self) -> usize;

    /// Ends one of these. Says whether there was one.
    fn evict(self: Arc<Self>) -> bool;
}

impl Neighbours {
    /// Adds a pool, for as long as it lives.
    pub(crate) fn join(&self, pool: Weak<dyn Neighbour>) {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(pool);
    }

    /// Has the pool with the most idle instances end one. Says whether there was any.
    ///
    /// Its place is free a moment later, when the instance is gone.
    pub(crate) fn evict_one(&self) -> bool {
        // Asked without the lock held: pools take locks of their own.
        let pools: Vec<_> = {
            let pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            pools.iter().filter_map(Weak::upgrade).collect()
        };
        let richest = pools
            .into_iter()
            .max_by_key(|pool| pool.idle_instances())
            .filter(|pool| pool.idle_instances() > 0);
        richest.is_some_and(Neighbour::evict)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    struct Idle(AtomicUsize);

    impl Neighbour for Idle {
        fn idle_instances(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }

        fn evict(self: Arc<Self>) -> bool {
            self.0.fetch_sub(1, Ordering::Relaxed) > 0
        }
    }

    #[test]
    fn the_pool_with_the_most_idle_instances_gives_one_up() {
        let neighbours = Neighbours::default();
        let pools = [0, 3, 1].map(|idle| Arc::new(Idle(idle.into())));
        for pool in &pools {
            let pool: Arc<dyn Neighbour> = pool.clone();
            neighbours.join(Arc::downgrade(&pool));
        }
        assert!(neighbours.evict_one());
        assert_eq!(
            pools.each_ref().map(|pool| pool.idle_instances()),
            [0, 2, 1]
        );
        while neighbours.evict_one() {}
        assert_eq!(
            pools.each_ref().map(|pool| pool.idle_instances()),
            [0, 0, 0]
        );
    }

    #[test]
    fn a_pool_that_is_gone_is_not_asked() {
        let neighbours = Neighbours::default();
        let pool: Arc<dyn Neighbour> = Arc::new(Idle(1.into()));
        neighbours.join(Arc::downgrade(&pool));
        drop(pool);
        assert!(!neighbours.evict_one());
    }
}
