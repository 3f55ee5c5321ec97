//! The parts of JSON that a report needs.

use std::fmt::Write;

pub fn string(to: &mut String, text: &str) {
    to.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                to.push('\\');
                to.push(character);
            }
            control if control.is_control() => {
                let _ = write!(to, "\\u{:04x}", u32::from(control));
            }
            other => to.push(other),
        }
    }
    to.push('"');
}

/// Formats a string or a number that may be missing.
pub fn optional<T: ToString>(value: Option<T>, write: impl Fn(&mut String, &str)) -> String {
    match value {
        Some(value) => {
            let mut text = String::new();
            write(&mut text, &value.to_string());
            text
        }
        None => "null".to_owned(),
    }
}

/// Writes pairs of a name and a value; bytes that are not UTF-8 are replaced.
pub fn fields(to: &mut String, fields: &[(String, Vec<u8>)]) {
    to.push('[');
    for (nth, (name, value)) in fields.iter().enumerate() {
        to.push_str(if nth == 0 { "[" } else { ",[" });
        string(to, name);
        to.push(',');
        string(to, &String::from_utf8_lossy(value));
        to.push(']');
    }
    to.push(']');
}
