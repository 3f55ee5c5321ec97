use std::fmt;
use std::sync::Arc;

use crate::RequestScope;

/// Whether the request that an outgoing call was made for is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This root request, and no other.
    Exact,
    /// Evidence names more than one live request, or cannot be trusted. Never resolved by a guess.
    Ambiguous,
    /// There is no evidence.
    Unknown,
}

/// The evidence that a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Witness {
    /// The component-model async call stack.
    Stack,
    /// The instance can only ever have this one request (0.2, WAGI).
    Sole,
    /// No evidence.
    None,
}

impl Verdict {
    /// The value of the span attribute `headwater.attribution`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Ambiguous => "ambiguous",
            Self::Unknown => "unknown",
        }
    }
}

impl Witness {
    /// The value of the span attribute `headwater.attribution.witness`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stack => "stack",
            Self::Sole => "sole",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whom an effect of a guest is attributed to.
///
/// The scope is there exactly when the verdict is [`Verdict::Exact`]; the constructors keep it so.
#[derive(Debug, Clone)]
pub struct Attribution {
    scope: Option<Arc<RequestScope>>,
    verdict: Verdict,
    witness: Witness,
}

impl Attribution {
    /// This request and no other, by this witness.
    #[must_use]
    pub fn exact(scope: Arc<RequestScope>, witness: Witness) -> Self {
        Self {
            scope: Some(scope),
            verdict: Verdict::Exact,
            witness,
        }
    }

    /// Evidence that cannot be trusted, or that names several requests.
    #[must_use]
    pub fn ambiguous(witness: Witness) -> Self {
        Self {
            scope: None,
            verdict: Verdict::Ambiguous,
            witness,
        }
    }

    /// No evidence.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            scope: None,
            verdict: Verdict::Unknown,
            witness: Witness::None,
        }
    }

    /// The request, if it is known exactly.
    #[must_use]
    pub fn scope(&self) -> Option<&Arc<RequestScope>> {
        self.scope.as_ref()
    }

    /// The verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// What the verdict rests on.
    #[must_use]
    pub fn witness(&self) -> Witness {
        self.witness
    }
}
