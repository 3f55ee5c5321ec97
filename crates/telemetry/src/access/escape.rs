//! What clients say, so that it cannot look like anything else in a log.

/// How much is noted of one thing that a client says, in bytes: more than any browser's name has,
/// and a line stays one that can be read. A request's head may be 64 KiB.
const MOST: usize = 1024;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends a JSON string (RFC 8259, 7) in ASCII alone: what is no UTF-8 becomes U+FFFD, and what
/// could move a terminal's cursor or turn the direction of writing is escaped with all the rest.
pub(super) fn json(text: &[u8], line: &mut Vec<u8>) {
    let text = cut(text);
    line.push(b'"');
    // Nearly all that is noted is plain from end to end.
    let plain = text.iter().take_while(|byte| is_plain(**byte)).count();
    let (plain, rest) = text.split_at(plain);
    line.extend_from_slice(plain);
    if rest.is_empty() {
        return line.push(b'"');
    }
    for chunk in rest.utf8_chunks() {
        for char in chunk.valid().chars() {
            match char {
                '"' | '\\' => line.extend([b'\\', char as u8]),
                ' '..='~' => line.push(char as u8),
                _ => escape_unit(char, line),
            }
        }
        if !chunk.invalid().is_empty() {
            escape_unit(char::REPLACEMENT_CHARACTER, line);
        }
    }
    line.push(b'"');
}

/// Whether it stands for itself in a JSON string, and is ASCII that can be seen.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\'
}

fn escape_unit(char: char, line: &mut Vec<u8>) {
    for unit in char.encode_utf16(&mut [0; 2]) {
        line.extend(b"\\u");
        for shift in [12, 8, 4, 0] {
            line.push(HEX[usize::from(*unit >> shift & 0xf)]);
        }
    }
}

/// Appends text between quotes as Apache does (`ap_escape_logitem` in its `server/util.c`).
pub(super) fn apache(text: &[u8], line: &mut Vec<u8>) {
    for &byte in cut(text) {
        match byte {
            b'"' | b'\\' => line.extend([b'\\', byte]),
            b' '..=b'~' => line.push(byte),
            0x08 => line.extend(b"\\b"),
            b'\n' => line.extend(b"\\n"),
            b'\r' => line.extend(b"\\r"),
            b'\t' => line.extend(b"\\t"),
            0x0b => line.extend(b"\\v"),
            _ => {
                line.extend(b"\\x");
                hex(&[byte], line);
            }
        }
    }
}

/// Appends bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8], line: &mut Vec<u8>) {
    let mut digits = [0; 32];
    for bytes in bytes.chunks(digits.len() / 2) {
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = HEX[usize::from(byte >> 4)];
            pair[1] = HEX[usize::from(byte & 0xf)];
        }
        line.extend_from_slice(&digits[..2 * bytes.len()]);
    }
}

fn cut(text: &[u8]) -> &[u8] {
    &text[..text.len().min(MOST)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(escape: fn(&[u8], &mut Vec<u8>), text: &[u8]) -> String {
        let mut line = Vec::new();
        escape(text, &mut line);
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
            let written = with(json, text.as_bytes());
            assert!(written.bytes().all(|byte| matches!(byte, b' '..=b'~')));
            let read: String = serde_json::from_str(&written).unwrap();
            assert_eq!(read, text);
        }
        assert_eq!(with(json, b"a\xff\xfeb"), r#""a\ufffd\ufffdb""#);
    }

    #[test]
    fn apache_s_escapes_are_apache_s() {
        assert_eq!(
            with(apache, b"a\"b\\c\x08\n\r\t\x0b\x00\x1b\x7f\xc3\xa9"),
            r#"a\"b\\c\b\n\r\t\v\x00\x1b\x7f\xc3\xa9"#
        );
    }

    #[test]
    fn what_a_client_says_at_length_is_cut() {
        let long = vec![b'a'; 100_000];
        assert_eq!(with(apache, &long).len(), MOST);
        assert_eq!(with(json, &long).len(), MOST + 2);
    }
}
