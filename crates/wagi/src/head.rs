use thiserror::Error;

/// The longest header block, in bytes: the largest limit of the common browsers (Chrome).
pub(crate) const LONGEST_HEAD: usize = 256 << 10;

#[derive(Debug, Clone, Copy, Error, PartialEq, Eq)]
#[error("the module's response headers are longer than {LONGEST_HEAD} bytes or too many")]
pub(crate) struct HeadTooLarge;

/// Scans for the header block at the beginning of a module's output (WAGI 0.8.1's grammar).
///
/// The block ends at the second of two line feeds in a row, ignoring carriage returns. Carriage
/// returns and NULs are dropped; output after the block is not read.
#[derive(Debug, Default)]
pub(crate) struct HeadScanner {
    text: Vec<u8>,
    seen: usize,
    after_line_feed: bool,
    complete: bool,
}

impl HeadScanner {
    /// Takes the next output, and returns how many bytes of it belong to the block.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<usize, HeadTooLarge> {
        if self.complete {
            return Ok(0);
        }
        for (at, &byte) in bytes.iter().enumerate() {
            match byte {
                b'\r' | b'\0' => {}
                b'\n' if self.after_line_feed => {
                    self.seen += 1;
                    self.complete = true;
                    return Ok(at + 1);
                }
                _ => {
                    self.after_line_feed = byte == b'\n';
                    self.text.push(byte);
                }
            }
            self.seen += 1;
            if self.seen > LONGEST_HEAD {
                return Err(HeadTooLarge);
            }
        }
        Ok(bytes.len())
    }

    /// Returns true if the blank line was seen.
    pub(crate) fn is_complete(&self) -> bool {
        self.complete
    }

    /// Returns the block, or nothing before the blank line.
    pub(crate) fn text(&self) -> &[u8] {
        if self.complete { &self.text } else { b"" }
    }

    /// Returns the number of bytes printed for the block so far.
    pub(crate) fn length(&self) -> u64 {
        self.seen as u64
    }

    /// Returns the block even if it is incomplete, for the log.
    pub(crate) fn raw(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_the_same_in_whatever_pieces_it_comes() {
        let printed = b"a: 1\r\nb:\0 2\r\n\r\nbody\n\n";
        for size in 1..=printed.len() {
            let mut head = HeadScanner::default();
            let mut body = Vec::new();
            for piece in printed.chunks(size) {
                let used = head.push(piece).unwrap();
                body.extend_from_slice(&piece[used..]);
            }
            assert!(head.is_complete(), "{size}");
            assert_eq!(head.text(), b"a: 1\nb: 2\n", "{size}");
            assert_eq!(body, b"body\n\n", "{size}");
        }
    }

    #[test]
    fn a_head_that_does_not_end_is_refused_and_not_kept() {
        let mut head = HeadScanner::default();
        assert_eq!(head.push(&[b'a'; LONGEST_HEAD]), Ok(LONGEST_HEAD));
        assert_eq!(head.push(b"a"), Err(HeadTooLarge));
        assert_eq!(head.text(), b"");
    }
}
