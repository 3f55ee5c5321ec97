use std::fmt;

use uuid::{ContextV7, Timestamp, Uuid};

/// The id of one incoming request: a UUIDv7 (RFC 9562), made only by Headwater.
///
/// The first 48 bits are the time in milliseconds, so ids sort by arrival; within a millisecond, only those
/// of one thread do. An `x-request-id` that a client sends is kept as an attribute and never becomes a
/// `RequestId`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

thread_local! {
    /// A counter within a millisecond. Each thread has its own, so that they do not contend.
    static CONTEXT: ContextV7 = const { ContextV7::new() };
}

impl RequestId {
    /// Makes the id of a request that arrives now.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each call makes another id")]
    pub fn new() -> Self {
        let id = CONTEXT.try_with(|context| Uuid::new_v7(Timestamp::now(context)));
        // A thread that is ending no longer has a context.
        Self(id.unwrap_or_else(|_| Uuid::now_v7()))
    }

    /// Parses an id that a guest or an upstream sends back. The id may not name an existing request.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let id = Uuid::try_parse_ascii(text).ok()?;
        // Only the form that `Display` writes; a UUID has several.
        (text.len() == uuid::fmt::Hyphenated::LENGTH).then_some(Self(id))
    }

    /// Returns the id as a UUID.
    #[must_use]
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// Returns eight hexadecimal digits by which a person can recognise a request. They are the random end of
    /// the id; its beginning, the time, is alike for requests that arrive together.
    #[must_use]
    pub fn short(&self) -> String {
        let bytes = self.0.as_bytes();
        format!(
            "{:02x}{:02x}{:02x}{:02x}",
            bytes[12], bytes[13], bytes[14], bytes[15]
        )
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RequestId({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_never_repeat() {
        let ids: std::collections::HashSet<_> = (0..1_000).map(|_| RequestId::new()).collect();
        assert_eq!(ids.len(), 1_000);
        assert!(ids.iter().all(|id| id.as_uuid().get_version_num() == 7));
    }

    #[test]
    fn an_id_is_read_as_it_is_written_and_in_no_other_form() {
        let id = RequestId::new();
        let text = id.to_string();
        assert_eq!(RequestId::parse(text.as_bytes()), Some(id));
        let simple = text.replace('-', "");
        let braced = format!("{{{text}}}");
        for other in ["", "client-4711", &text[1..], &simple, &braced] {
            assert_eq!(RequestId::parse(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn the_short_form_is_the_end_of_the_long_form() {
        let id = RequestId::new();
        assert!(id.to_string().ends_with(&id.short()));
    }
}
