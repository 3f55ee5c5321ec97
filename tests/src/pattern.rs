//! Large bodies that can be generated and checked without memory.

use std::sync::LazyLock;

use anyhow::{Result, ensure};
use bytes::Bytes;

/// The period is prime, so that a lost, repeated or swapped chunk of any usual size is noticed.
const PERIOD: usize = 65_521;

/// Two periods, so that a whole period can be cut out at any offset.
static BLOCK: LazyLock<Bytes> = LazyLock::new(|| {
    // A linear congruential generator (Numerical Recipes), whose upper bits are random enough.
    let mut state = 1_u32;
    let period: Vec<u8> = (0..PERIOD)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect();
    period.repeat(2).into()
});

/// Returns the bytes of the pattern, in chunks.
pub fn chunks(total: usize) -> impl Iterator<Item = Bytes> + Send {
    const CHUNK: usize = 32 * 1024;
    (0..total).step_by(CHUNK).map(move |offset| {
        let start = offset % PERIOD;
        BLOCK.slice(start..start + CHUNK.min(total - offset))
    })
}

/// Compares a body with the pattern as it arrives.
#[derive(Debug, Default)]
pub struct Checker {
    offset: usize,
}

impl Checker {
    /// Checks the next bytes of the body.
    ///
    /// # Errors
    ///
    /// Returns an error if they are not those of the pattern; the error has the position.
    pub fn check(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PERIOD) {
            let start = self.offset % PERIOD;
            ensure!(
                piece == &BLOCK[start..start + piece.len()],
                "the body differs from what was sent, somewhere in the {} bytes from {} on",
                piece.len(),
                self.offset
            );
            self.offset += piece.len();
        }
        Ok(())
    }

    /// Returns the number of checked bytes.
    #[must_use]
    pub fn length(&self) -> usize {
        self.offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_passes_and_a_lost_chunk_does_not() {
        let all: Vec<_> = chunks(300_000).collect();
        let mut whole = Checker::default();
        all.iter().for_each(|chunk| whole.check(chunk).unwrap());
        assert_eq!(whole.length(), 300_000);

        let mut cut = Checker::default();
        cut.check(&all[0]).unwrap();
        cut.check(&all[2]).unwrap_err();
    }
}
