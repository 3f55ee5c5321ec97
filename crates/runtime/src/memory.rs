use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use headwater_telemetry::LimitLog;
use wasmtime::{ResourceLimiterAsync, Result};
use wasmtime_wasi::async_trait;

use crate::limits;
use crate::threads::InstanceThread;

/// Bounds the total size of the linear memories of one instance.
///
/// Growth beyond the bound fails as if memory were short: `memory.grow` returns -1. Tables are
/// bounded one by one.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    /// Shared with readers that outlive the store; only the store writes.
    used: Arc<AtomicUsize>,
    refused: bool,
    thread: InstanceThread,
    limits: LimitLog,
}

/// The hint for an operator about a guest that failed after it was refused memory.
pub(crate) const MORE_MEMORY: &str = "it had been refused memory before: raise `memory` of the service, or \
                                      --memory if the service does not set it";

impl MemoryBudget {
    /// Returns a budget of this many bytes for an instance that runs on this thread.
    #[must_use]
    pub fn new(limit: usize, thread: InstanceThread, limits: LimitLog) -> Self {
        Self {
            limit,
            used: Arc::default(),
            refused: false,
            thread,
            limits,
        }
    }

    /// Returns the number of used bytes, also after the store's end.
    #[must_use]
    pub fn usage(&self) -> Arc<AtomicUsize> {
        self.used.clone()
    }

    /// Returns true if growth was ever refused: the likely reason if a module then fails.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }
}

#[async_trait]
impl ResourceLimiterAsync for MemoryBudget {
    async fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let more = desired.saturating_sub(current);
        // Growth beyond the maximum fails in any case and must not be counted. Growth that fails
        // because the machine is out of memory stays counted: `memory_grow_failed` does not say
        // which growth failed, and is also called for some that were never counted.
        if maximum.is_some_and(|maximum| desired > maximum) {
            self.refused = true;
            return Ok(false);
        }
        let used = self.used.load(Ordering::Relaxed);
        if more > self.limit.saturating_sub(used) {
            self.refused = true;
            self.limits.met(&limits::MEMORY, self.limit);
            return Ok(false);
        }
        self.used.store(used + more, Ordering::Relaxed);
        if self.thread.has_memory(used + more) {
            // Operations on so much memory may hold a thread up.
            tokio::task::yield_now().await;
        }
        Ok(true)
    }

    async fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let most = limits::MAX_TABLE_ELEMENTS;
        let fits = desired <= most;
        // The maximum is the table's own, or the engine's if that is less.
        if !fits && maximum.is_none_or(|maximum| maximum >= most) {
            self.limits.met(&limits::TABLE, most);
        }
        Ok(fits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::GuestThreads;

    fn budget(limit: usize) -> MemoryBudget {
        let thread = GuestThreads::default().service().instance();
        MemoryBudget::new(limit, thread, LimitLog::new("test".into()))
    }

    #[tokio::test]
    async fn memories_share_one_bound() {
        let mut budget = budget(100);
        assert!(budget.memory_growing(0, 60, None).await.unwrap());
        assert!(budget.memory_growing(0, 40, Some(50)).await.unwrap());
        assert!(!budget.refused());
        assert!(!budget.memory_growing(60, 61, None).await.unwrap());
        assert!(budget.refused());
    }

    #[tokio::test]
    async fn growth_beyond_a_maximum_takes_nothing() {
        let mut budget = budget(100);
        assert!(!budget.memory_growing(0, 80, Some(50)).await.unwrap());
        assert!(budget.memory_growing(0, 50, Some(50)).await.unwrap());
        assert!(budget.memory_growing(0, 50, Some(50)).await.unwrap());
    }

    #[tokio::test]
    async fn a_guest_gives_its_thread_back_before_it_has_much_memory() {
        let mut budget = budget(usize::MAX);
        let mut grows = budget.memory_growing(0, 1 << 30, None);
        assert!(futures::poll!(&mut grows).is_pending());
        assert!(grows.await.unwrap());
        let mut grows = budget.memory_growing(0, 1 << 30, None);
        assert!(futures::poll!(&mut grows).is_ready(), "once is enough");
    }
}
