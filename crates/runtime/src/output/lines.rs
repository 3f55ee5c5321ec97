/// The longest line, in bytes. A longer one continues in the next.
pub(crate) const LONGEST_LINE: usize = 8 << 10;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// Takes bytes and emits each line that they complete, except empty lines.
    pub(crate) fn push(&mut self, bytes: &[u8], mut emit: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (mut text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            if ends && self.partial.is_empty() && text.len() <= LONGEST_LINE {
                // Most lines come whole in one piece and are not copied.
                give(text, &mut emit);
                continue;
            }
            while self.partial.len() + text.len() > LONGEST_LINE {
                let (now, later) = text.split_at(LONGEST_LINE - self.partial.len());
                self.partial.extend_from_slice(now);
                self.finish(&mut emit);
                text = later;
            }
            self.partial.extend_from_slice(text);
            if ends {
                self.finish(&mut emit);
            }
        }
    }

    /// Emits the unfinished line, if there is one.
    pub(crate) fn finish(&mut self, mut emit: impl FnMut(&[u8])) {
        give(&self.partial, &mut emit);
        self.partial.clear();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.partial.is_empty()
    }
}

fn give(line: &[u8], emit: &mut impl FnMut(&[u8])) {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if !line.is_empty() {
        emit(line);
    }
}

#[cfg(test)]
mod tests {
    use headwater_core::Printable;

    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = Lines::default();
        for write in writes {
            lines.push(write, |line| found.push(Printable(line).to_string()));
        }
        lines.finish(|line| found.push(Printable(line).to_string()));
        assert!(lines.is_empty());
        found
    }

    #[test]
    fn lines_are_put_together_from_writes() {
        assert_eq!(lines(&[b"a", b"b\nc\r\n", b"\nlast"]), ["ab", "c", "last"]);
        assert_eq!(lines(&[b"a\r", b"\n\r\n"]), ["a"]);
        assert!(lines(&[b""]).is_empty());
    }

    #[test]
    fn a_character_cut_in_two_writes_is_whole() {
        let text = "é".as_bytes();
        assert_eq!(lines(&[&text[..1], &text[1..]]), ["é"]);
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            lines(&[b"a\x1b[2J\tb\0\xff\n"]),
            ["a\\u{1b}[2J\tb\\u{0}\u{fffd}"]
        );
        assert_eq!(
            lines(&["\u{9b}31m\u{2028}\u{202e}x\u{85}".as_bytes()]),
            ["\\u{9b}31m\\u{2028}\\u{202e}x\\u{85}"]
        );
    }

    #[test]
    fn a_line_is_bounded_however_it_is_written() {
        let long = vec![b'a'; LONGEST_LINE + 1];
        let expected = ["a".repeat(LONGEST_LINE), "a".to_owned()];
        assert_eq!(lines(&[&long]), expected);
        assert_eq!(lines(&[&[&*long, b"\n"].concat()]), expected);
        let bytewise: Vec<&[u8]> = long.chunks(1).collect();
        assert_eq!(lines(&bytewise), expected);
        let exactly = [&long[1..], b"\n"].concat();
        assert_eq!(lines(&[&exactly]), expected[..1]);
    }
}
