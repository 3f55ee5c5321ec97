//! Learns which pages of its memory a module writes in each request.
//!
//! The memory of a new instance has no pages until they are touched. The first read of a page maps
//! the kernel's zero page; a later write takes another page fault, and an interrupt of every
//! processor that runs the process. The allocator of a C library does this once in each small
//! request, and in a virtual machine it cost a third of the request's CPU time
//! (`cargo xtask bench reset`). A page that is written first takes one fault and no interrupt.
//! Therefore the host writes a zero over a zero on the pages that the module's first requests have
//! written.

use std::collections::BTreeSet;
use std::sync::OnceLock;

use parking_lot::Mutex;
use wasmtime::wasmparser::{Parser, Payload};

/// The size of a page, in bytes. If the kernel's pages are larger, some are written more than once.
const PAGE: usize = 4096;

/// The number of requests to learn from. Pages that some of them did not write are left alone.
const LOOKED_AT: u32 = 3;

/// The largest memory to learn from, in bytes: reading all of it takes a page fault for each page.
const MOST: usize = 4 << 20;

/// The pages that are zero in a new instance of a module, and not zero when it ends.
#[derive(Debug)]
pub(crate) struct WrittenPages {
    /// True if the memory of each new instance is the same; otherwise there is nothing to learn.
    same: bool,
    known: OnceLock<BTreeSet<usize>>,
    seen: Mutex<Seen>,
}

/// The pages that the first requests have written.
#[derive(Debug, Default)]
struct Seen {
    requests: u32,
    by_all: BTreeSet<usize>,
}

/// The pages of a new instance that are zero.
pub(crate) struct Fresh(BTreeSet<usize>);

// === impl WrittenPages ===

impl WrittenPages {
    pub(crate) fn of(binary: &[u8]) -> Self {
        Self::new(is_made_of_its_data(binary))
    }

    fn new(same: bool) -> Self {
        Self {
            same,
            known: OnceLock::new(),
            seen: Mutex::default(),
        }
    }

    /// Creates an empty record for the same module.
    pub(crate) fn unlearnt(&self) -> Self {
        Self::new(self.same)
    }

    /// Writes zeros over zeros in the memory of a new instance, on the learnt pages. During the
    /// first requests it returns which pages are zero instead.
    pub(crate) fn prepare(&self, memory: &mut [u8]) -> Option<Fresh> {
        let Some(known) = self.known.get() else {
            let learns = self.same && memory.len() <= MOST;
            return learns.then(|| Fresh(pages(memory, true)));
        };
        for page in known {
            if let Some(byte) = memory.get_mut(page * PAGE) {
                *byte = 0;
            }
        }
        None
    }

    /// Learns from the memory of an instance that has answered a request.
    pub(crate) fn learn(&self, Fresh(fresh): Fresh, memory: &[u8]) {
        let written = &pages(memory, false) & &fresh;
        let mut seen = self.seen.lock();
        seen.by_all = match seen.requests {
            0 => written,
            _ => &seen.by_all & &written,
        };
        seen.requests += 1;
        if seen.requests == LOOKED_AT {
            // Several requests may finish learning at the same time.
            let _ = self.known.set(std::mem::take(&mut seen.by_all));
        }
    }
}

/// Returns the pages that are all zero, or those that are not.
fn pages(memory: &[u8], zero: bool) -> BTreeSet<usize> {
    let pages = memory.chunks(PAGE).enumerate();
    pages
        .filter(|(_, page)| page.iter().all(|byte| *byte == 0) == zero)
        .map(|(number, _)| number)
        .collect()
}

/// Returns true if the memory of each new instance is the same, because no code runs when it is
/// created. Returns false for a module in text form, where this is not known.
fn is_made_of_its_data(binary: &[u8]) -> bool {
    Parser::new(0).parse_all(binary).all(|payload| {
        payload.is_ok_and(|payload| !matches!(payload, Payload::StartSection { .. }))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGES: usize = 16;

    /// Creates a new memory, with data on page 3.
    fn fresh() -> Vec<u8> {
        let mut memory = vec![0; PAGES * PAGE];
        memory[3 * PAGE] = 7;
        memory
    }

    fn request(of: &WrittenPages, written: &[usize]) -> Vec<u8> {
        let mut memory = fresh();
        let learns = of.prepare(&mut memory);
        assert_eq!(memory, fresh(), "what was there was changed");
        for page in written {
            memory[page * PAGE + 5] = 9;
        }
        if let Some(fresh) = learns {
            of.learn(fresh, &memory);
        }
        memory
    }

    fn known(pages: &WrittenPages) -> Option<Vec<usize>> {
        Some(pages.known.get()?.iter().copied().collect())
    }

    #[test]
    fn the_pages_that_all_of_the_first_requests_wrote_are_known_but_for_those_with_data() {
        let pages = WrittenPages::new(true);
        request(&pages, &[1, 3, 5, 9]);
        request(&pages, &[1, 3, 6, 9]);
        assert_eq!(known(&pages), None);
        request(&pages, &[1, 3, 5, 6, 9, 10]);
        assert_eq!(known(&pages), Some(vec![1, 9]));
        // Nothing more is learnt, and the memory does not change.
        request(&pages, &[2]);
        assert_eq!(known(&pages), Some(vec![1, 9]));
        let mut small = vec![0; PAGE];
        assert!(pages.prepare(&mut small).is_none());
    }

    #[test]
    fn nothing_is_written_where_code_runs_before_the_module_does_or_memory_is_large() {
        let learns = |fields: &str, length| {
            let text = format!("(module (memory 1) (func $f) {fields})");
            let pages = WrittenPages::of(&wat::parse_str(text).unwrap());
            pages.prepare(&mut vec![0; length]).is_some()
        };
        assert!(learns("", MOST));
        assert!(!learns("", MOST + 1));
        assert!(!learns("(start $f)", MOST));
        let text = WrittenPages::of(b"(module)");
        assert!(text.prepare(&mut [0; PAGE]).is_none());
    }
}
