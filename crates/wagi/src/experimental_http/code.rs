use headwater_egress::EgressError;

/// The codes that a function returns instead of 0. Guests show the number ("Wasi error 7").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    InvalidHandle = 1,
    MemoryNotFound = 2,
    MemoryAccess = 3,
    BufferTooSmall = 4,
    HeaderNotFound = 5,
    Utf8 = 6,
    DestinationNotAllowed = 7,
    InvalidMethod = 8,
    InvalidEncoding = 9,
    InvalidUrl = 10,
    Request = 11,
    Runtime = 12,
    TooManySessions = 13,
}

impl Code {
    pub(crate) fn of(error: &EgressError) -> Self {
        match error {
            EgressError::Denied { .. } => Self::DestinationNotAllowed,
            EgressError::InvalidUri { .. } => Self::InvalidUrl,
            EgressError::InvalidMethod => Self::InvalidMethod,
            _ => Self::Request,
        }
    }

    /// Returns the text of the code, for the interface before 0.3.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidHandle => "invalid handle",
            Self::MemoryNotFound => "memory not found",
            Self::MemoryAccess => "memory access error",
            Self::BufferTooSmall => "buffer too small",
            Self::HeaderNotFound => "header not found",
            Self::Utf8 => "UTF-8 error",
            Self::DestinationNotAllowed => "destination not allowed",
            Self::InvalidMethod => "invalid method",
            Self::InvalidEncoding => "invalid encoding",
            Self::InvalidUrl => "invalid URL",
            Self::Request => "request error",
            Self::Runtime => "runtime error",
            Self::TooManySessions => "too many sessions",
        }
    }
}

/// Converts a result to the number that a function returns to the guest.
pub(crate) fn number(result: Result<(), Code>) -> i32 {
    match result {
        Ok(()) => 0,
        Err(code) => code as i32,
    }
}
