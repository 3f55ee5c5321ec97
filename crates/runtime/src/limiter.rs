use std::sync::Arc;

use wasmtime::ResourceLimiter;

/// Table elements of one instance, all its tables together. Language runtimes keep their functions
/// in tables: CPython's has 12,000.
const MAX_TABLE_ELEMENTS: usize = 100_000;

/// Bounds the memory of one instance, all its memories together.
pub(crate) struct Limiter {
    service: Arc<str>,
    allowed: usize,
    used: usize,
    table_elements: usize,
}

impl Limiter {
    pub(crate) fn new(service: Arc<str>, allowed: usize) -> Self {
        Self {
            service,
            allowed,
            used: 0,
            table_elements: 0,
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let used = self.used.saturating_add(desired.saturating_sub(current));
        if used > self.allowed {
            tracing::warn!(
                service = %self.service,
                allowed = self.allowed,
                wanted = used,
                "the guest was refused memory: raise `memory` (--memory) if it needs more",
            );
            return Ok(false);
        }
        self.used = used;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self
            .table_elements
            .saturating_add(desired.saturating_sub(current));
        if elements > MAX_TABLE_ELEMENTS {
            return Ok(false);
        }
        self.table_elements = elements;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_memories_of_an_instance_share_one_allowance() {
        let mut limiter = Limiter::new("s".into(), 100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 100, None).unwrap());
        assert!(!limiter.memory_growing(100, 101, None).unwrap());
    }
}
