use std::fmt;

/// The text in place of a value that is secret, or may be.
pub const REDACTED: &str = "<redacted>";

/// A line in printable form, such as one that a guest wrote.
///
/// Characters that could fake several lines, move a terminal's cursor or change the writing direction
/// are escaped as in Rust, such as `\u{1b}`. Bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Clone, Copy)]
pub struct Printable<'a>(pub &'a [u8]);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some(at) = rest.find(is_deceptive) {
                let (plain, from) = rest.split_at(at);
                f.write_str(plain)?;
                let mut characters = from.chars();
                if let Some(character) = characters.next() {
                    write!(f, "{}", character.escape_default())?;
                }
                rest = characters.as_str();
            }
            f.write_str(rest)?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

fn is_deceptive(character: char) -> bool {
    // C0 and C1 controls, except for the harmless tab.
    (character.is_control() && character != '\t')
        || matches!(
            character,
            // Line and paragraph separator, and the controls of writing direction.
            '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}'
                | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_is_escaped_and_what_is_no_text_is_marked() {
        let shown = |bytes: &[u8]| Printable(bytes).to_string();
        assert_eq!(shown(b"a\x1b[2J\tb\0\xff"), "a\\u{1b}[2J\tb\\u{0}\u{fffd}");
        let text = "\u{9b}31m\u{2028}\u{202e}x\u{85}é";
        assert_eq!(
            shown(text.as_bytes()),
            "\\u{9b}31m\\u{2028}\\u{202e}x\\u{85}é"
        );
    }
}
