//! Shared code of the guests that search their memory for marks of others: two large regions whose
//! contents in a new instance are known.
//!
//! Every request checks them first. `/mark/ID?wait=MS` then fills both regions with a mark that
//! contains `ID`, and is not answered before this many milliseconds.

use std::sync::atomic::{AtomicU64, Ordering};

/// The value of every word of an image.
pub const IMAGE: u64 = 0x5a5a_5a5a_5a5a_5a5a;

/// The upper half of every word of a mark; the rest is its `ID`.
const MARK: u64 = 0xa5a5_a5a5_0000_0000;

/// The words of the region that the program leaves zeroed: 2 MiB.
pub const ZEROED: usize = (2 << 20) / 8;

/// The words of a small image and of a large one: 64 KiB and 4 MiB.
pub const SMALL: usize = (64 << 10) / 8;
pub const LARGE: usize = (4 << 20) / 8;

/// The two regions.
pub struct Regions {
    pub zeroed: &'static [AtomicU64],
    pub image: &'static [AtomicU64],
}

/// Returns regions of this program, with an image of this many words.
#[macro_export]
macro_rules! regions {
    ($image:expr) => {{
        use std::sync::atomic::AtomicU64;
        static ZEROED: [AtomicU64; $crate::ZEROED] = [const { AtomicU64::new(0) }; $crate::ZEROED];
        static IMAGE: [AtomicU64; $image] = [const { AtomicU64::new($crate::IMAGE) }; $image];
        // The compiler must not assume anything about their contents.
        $crate::Regions {
            zeroed: std::hint::black_box(&ZEROED),
            image: std::hint::black_box(&IMAGE),
        }
    }};
}

impl Regions {
    /// Handles the target. Returns the answer, and the milliseconds to wait before it.
    pub fn visit(&self, target: &str) -> (String, u64) {
        let answer = self.look();
        let Some(asked) = target.split_once("/mark/").map(|(_, asked)| asked) else {
            return (answer, 0);
        };
        let (id, wait) = asked.split_once("?wait=").unwrap_or((asked, "0"));
        let mark = MARK | id.parse().unwrap_or(0_u64);
        for word in self.words() {
            word.store(mark, Ordering::Relaxed);
        }
        (answer, wait.parse().unwrap_or(0))
    }

    /// Returns `clean`, or the number of words that differ from a new instance, and the first of
    /// them.
    fn look(&self) -> String {
        let strange = |words: &[AtomicU64], new: u64| {
            let words = words.iter().map(|word| word.load(Ordering::Relaxed));
            let mut strange = words.filter(|&word| word != new);
            let first = strange.next();
            first.map(|first| (1 + strange.count(), first))
        };
        let zeroed = strange(self.zeroed, 0);
        match zeroed.or_else(|| strange(self.image, IMAGE)) {
            None => "clean\n".to_owned(),
            Some((count, first)) => format!("{count} strange words, the first is {first:016x}\n"),
        }
    }

    fn words(&self) -> impl Iterator<Item = &AtomicU64> {
        self.zeroed.iter().chain(self.image)
    }
}
