use wasmtime::{ResourceLimiter, Result};

/// Bounds the linear memories of one instance, all together.
///
/// Growth beyond the bound fails as it does where memory is short: `memory.grow` says -1. Tables are
/// bounded one by one, at a million elements.
#[derive(Debug)]
pub struct MemoryBudget {
    limit: usize,
    used: usize,
    refused: bool,
}

/// The most elements of one table. An element takes a pointer's room; compilers emit tables of a few
/// thousand functions.
const TABLE_ELEMENTS: usize = 1 << 20;

/// What an operator is told of a guest that failed after it was refused memory.
pub(crate) const MORE_MEMORY: &str = "it had been refused memory before: `memory` in headwater.toml, \
                                      or --memory, gives it more";

impl MemoryBudget {
    /// A budget of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            used: 0,
            refused: false,
        }
    }

    /// Whether growth was ever refused: what a module that then fails most likely failed of.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }
}

impl ResourceLimiter for MemoryBudget {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> Result<bool> {
        let more = desired.saturating_sub(current);
        // What is beyond the maximum fails in any case, and must not be counted. A growth that fails
        // for want of the machine's memory stays counted: `memory_grow_failed` does not say which
        // growth it is about, and is called for some that were never counted.
        let fits = maximum.is_none_or(|maximum| desired <= maximum)
            && more <= self.limit.saturating_sub(self.used);
        if fits {
            self.used += more;
        } else {
            self.refused = true;
        }
        Ok(fits)
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_share_one_bound() {
        let mut budget = MemoryBudget::new(100);
        assert!(budget.memory_growing(0, 60, None).unwrap());
        assert!(budget.memory_growing(0, 40, Some(50)).unwrap());
        assert!(!budget.refused());
        assert!(!budget.memory_growing(60, 61, None).unwrap());
        assert!(budget.refused());
    }

    #[test]
    fn growth_beyond_a_maximum_takes_nothing() {
        let mut budget = MemoryBudget::new(100);
        assert!(!budget.memory_growing(0, 80, Some(50)).unwrap());
        assert!(budget.memory_growing(0, 50, Some(50)).unwrap());
        assert!(budget.memory_growing(0, 50, Some(50)).unwrap());
    }
}
