//! Escaping of text from clients, so that it cannot imitate anything else in a log.

use std::io::Write;

/// The maximum length of one text from a client, in bytes: more than any browser's name, and short enough
/// that a line stays readable. A request's head may be 64 KiB.
const MOST: usize = 1024;

/// Appends text as a JSON string of plain ASCII, so that nothing in it can move a cursor or turn the
/// direction of writing. Invalid UTF-8 becomes U+FFFD.
pub(super) fn json(text: &[u8], line: &mut Vec<u8>) {
    let text = cut(text);
    line.push(b'"');
    // Nearly all text is plain.
    if text.iter().all(|&byte| is_plain(byte) && !is_quote(byte)) {
        line.extend_from_slice(text);
    } else {
        for char in String::from_utf8_lossy(text).chars() {
            match u8::try_from(char) {
                Ok(byte) if is_quote(byte) => line.extend([b'\\', byte]),
                Ok(byte) if is_plain(byte) => line.push(byte),
                _ => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                    // Writes to memory do not fail.
                    let _ = write!(line, "\\u{unit:04x}");
                }),
            }
        }
    }
    line.push(b'"');
}

/// Appends text between quotes as Apache does (`ap_escape_logitem` in its `server/util.c`).
pub(super) fn apache(text: &[u8], line: &mut Vec<u8>) {
    for &byte in cut(text) {
        match byte {
            _ if is_quote(byte) => line.extend([b'\\', byte]),
            _ if is_plain(byte) => line.push(byte),
            0x08 => line.extend(b"\\b"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x0b => line.extend(b"\\v"),
            _ => _ = write!(line, "\\x{byte:02x}"),
        }
    }
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MOST)]
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut line = Vec::new();
        super::json(text, &mut line);
        String::from_utf8(line).unwrap()
    }

    fn combined(text: &[u8]) -> String {
        let mut line = Vec::new();
        apache(text, &mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn whatever_a_client_says_is_one_json_string_of_plain_ascii_that_says_the_same() {
        for text in [
            "",
            "curl/8.0",
            "a\"b\\c\u{8}\n\r\t\u{b}\u{0}\u{7f}",
            "\u{1b}[2J\u{9b}31m \u{202e}gnp.exe \u{1f389}",
        ] {
            let written = json(text.as_bytes());
            assert!(written.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let read: String = serde_json::from_str(&written).unwrap();
            assert_eq!(read, text);
        }
        assert_eq!(json(b"a\xff\xfeb"), r#""a\ufffd\ufffdb""#);
    }

    #[test]
    fn apache_s_escapes_are_apache_s() {
        assert_eq!(
            combined(b"a\"b\\c\x08\n\r\t\x0b\x00\x1b\x7f\xc3\xa9"),
            r#"a\"b\\c\b\n\r\t\v\x00\x1b\x7f\xc3\xa9"#
        );
    }

    #[test]
    fn what_a_client_says_at_length_is_cut() {
        let long = vec![b'a'; 100_000];
        assert_eq!(combined(&long).len(), MOST);
        assert_eq!(json(&long).len(), MOST + 2);
    }
}
