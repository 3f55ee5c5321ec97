//! Explains in an answer why a request went as it did, for developers of guests, if the setting is on.
//!
//! Otherwise clients see no causes, which name files, addresses and the destinations of services.

use headwater_core::{Fault, RequestScope, explain};
use http::header::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const EXPLAIN: HeaderName = HeaderName::from_static("headwater-explain");

/// Clients accept 8 KiB for all of a response's fields; the log has the full text.
const LONGEST: usize = 2048;

#[derive(Debug, Default)]
pub(crate) struct Explanation(Vec<String>);

// === impl Explanation ===

impl Explanation {
    /// Collects what is known when the response head is decided.
    pub(crate) fn of(scope: &RequestScope, fault: Option<&Fault>) -> Self {
        let cause = fault.and_then(Fault::cause);
        let denial = scope
            .denial()
            .map(|denial| format!("an outgoing request was denied: {}", explain(&*denial)));
        Self(cause.into_iter().chain(denial).collect())
    }

    pub(crate) fn text(&self) -> String {
        self.0.iter().map(|line| format!("{line}\n")).collect()
    }

    /// Sets the field, if there is anything to explain.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if self.0.is_empty() {
            return;
        }
        let text = self.0.join("; ");
        let bytes = text.bytes().take(LONGEST);
        let visible = bytes.map(|byte| match byte {
            b' '..=b'~' => byte,
            b'\n' | b'\t' => b' ',
            _ => b'?',
        });
        if let Ok(value) = HeaderValue::from_bytes(&visible.collect::<Vec<_>>()) {
            headers.insert(EXPLAIN, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_a_field_that_clients_can_read_whatever_it_quotes() {
        let mut headers = HeaderMap::new();
        Explanation::default().put(&mut headers);
        assert!(headers.is_empty());

        let lines = ["first\nline", "h\u{e9} \u{1b}[2J"].map(str::to_owned);
        let explanation = Explanation(lines.to_vec());
        assert_eq!(explanation.text().lines().count(), 3);
        explanation.put(&mut headers);
        assert_eq!(headers[EXPLAIN], "first line; h?? ?[2J");

        Explanation(vec!["x".repeat(100_000)]).put(&mut headers);
        assert_eq!(headers[EXPLAIN].len(), LONGEST);
    }
}
