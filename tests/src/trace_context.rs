//! The `traceparent` header (W3C Trace Context, version 00).

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};

/// A trace id and the id of the sender's span, in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TraceParent {
    /// 32 digits.
    pub trace_id: String,
    /// 16 digits.
    pub span_id: String,
}

impl TraceParent {
    /// Creates a new trace.
    #[must_use]
    pub fn fresh() -> Self {
        Self {
            trace_id: format!("{:016x}{:016x}", random(), random()),
            span_id: format!("{:016x}", random()),
        }
    }

    /// Parses a header value; `None` if it is malformed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace_id, span_id, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let digits = |text: &str, count| {
            text.len() == count
                && text
                    .bytes()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        };
        let zero = |text: &str| text.bytes().all(|byte| byte == b'0');
        let sound = parts.next().is_none()
            && version == "00"
            && digits(trace_id, 32)
            && !zero(trace_id)
            && digits(span_id, 16)
            && !zero(span_id)
            && digits(flags, 2);
        sound.then(|| Self {
            trace_id: trace_id.to_owned(),
            span_id: span_id.to_owned(),
        })
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.trace_id, self.span_id)
    }
}

/// Returns a number that is never zero; each `RandomState` of the standard library has its own
/// keys.
fn random() -> u64 {
    RandomState::new().build_hasher().finish().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let fresh = TraceParent::fresh();
        assert_eq!(TraceParent::parse(&fresh.to_string()), Some(fresh.clone()));
        assert_ne!(TraceParent::fresh().trace_id, fresh.trace_id);
    }

    #[test]
    fn malformed_values_are_not_read() {
        let id = "0af7651916cd43dd8448eb211c80319c";
        for bad in [
            String::new(),
            format!("00-{id}-b7ad6b7169203331"),
            format!("00-{id}-0000000000000000-01"),
            format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)),
            format!("00-{}-b7ad6b7169203331-01", id.to_uppercase()),
        ] {
            assert_eq!(TraceParent::parse(&bad), None, "{bad}");
        }
    }
}
