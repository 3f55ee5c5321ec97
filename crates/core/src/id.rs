use std::fmt;

use uuid::Uuid;

/// The id of one incoming request: a UUIDv7 (RFC 9562), made by Headwater and by nobody else.
///
/// The first 48 bits are the time in milliseconds, so ids sort by arrival. An `x-request-id` that a
/// client sends is kept as an attribute and never becomes a `RequestId`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Uuid);

impl RequestId {
    /// Makes the id of a request that arrives now.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "each call makes another id")]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a UUID.
    #[must_use]
    pub fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// Eight hexadecimal digits for a person to recognise a request by, taken from the random end
    /// of the id (its beginning is the time, alike for requests that arrive together).
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
    fn the_short_form_is_the_end_of_the_long_form() {
        let id = RequestId::new();
        assert!(id.to_string().ends_with(&id.short()));
    }
}
