use std::fmt;
use std::sync::Arc;

use crate::RequestScope;

/// The certainty about which request an outgoing call was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// This root request, and no other.
    Exact,
    /// Evidence names more than one live request, or cannot be trusted. Headwater never guesses.
    Ambiguous,
    /// There is no evidence.
    Unknown,
}

/// The evidence that a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Witness {
    /// The guest declared it: it entered a token of the request (`headwater:attribution/scope`).
    Declaration,
    /// The outgoing request carries the request's own `traceparent` or `x-request-id`, and the call
    /// stack names another request, or none.
    Echo,
    /// The outgoing request's headers and the call stack name the same request.
    StackAndEcho,
    /// The component-model async call stack.
    Stack,
    /// The instance can only ever have this one request (0.2, WAGI).
    Sole,
    /// Two witnesses name different live requests.
    Both,
    /// No evidence.
    None,
}

/// A reason why a call may have been made for another request than the one whose task made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// A task of another request has woken the task, or the other way round: one may do the other's work.
    Woken,
    /// The task waits, or has waited, for something that a task of another request waited for.
    TakenOver,
    /// A task of another request waits for nothing of its own: another task may be doing its work.
    Awaited,
    /// The task's own request is answered, but others in its instance are not.
    Outlived,
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
            Self::Declaration => "declaration",
            Self::Echo => "echo",
            Self::StackAndEcho => "stack+echo",
            Self::Stack => "stack",
            Self::Sole => "sole",
            Self::Both => "both",
            Self::None => "none",
        }
    }
}

impl Doubt {
    /// All doubts.
    pub const ALL: [Self; 4] = [Self::Woken, Self::TakenOver, Self::Awaited, Self::Outlived];

    /// The value of the span attribute `headwater.attribution.doubt`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Woken => "woken",
            Self::TakenOver => "taken-over",
            Self::Awaited => "awaited",
            Self::Outlived => "outlived",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The request that an effect of a guest is attributed to.
///
/// It has a scope exactly if the verdict is [`Verdict::Exact`]; the constructors ensure that.
#[derive(Debug, Clone)]
pub struct Attribution {
    requests: Requests,
    witness: Witness,
    disagreement: bool,
}

/// The requests that the evidence names, in the shape that each verdict allows.
#[derive(Debug, Clone)]
enum Requests {
    One(Arc<RequestScope>),
    Either([Arc<RequestScope>; 2]),
    /// The request of the calling task comes first.
    InDoubt(Doubt, Box<[Arc<RequestScope>]>),
    Untold,
    Nobody,
}

impl Attribution {
    /// Attributes an effect to this request, by this witness.
    #[must_use]
    pub fn exact(scope: Arc<RequestScope>, witness: Witness) -> Self {
        Self {
            requests: Requests::One(scope),
            witness,
            disagreement: false,
        }
    }

    /// Reports evidence that cannot be trusted, and that names no request.
    #[must_use]
    pub fn ambiguous(witness: Witness) -> Self {
        Self {
            requests: Requests::Untold,
            witness,
            disagreement: false,
        }
    }

    /// Reports evidence that names two live requests.
    #[must_use]
    pub fn either(one: Arc<RequestScope>, other: Arc<RequestScope>, witness: Witness) -> Self {
        Self {
            requests: Requests::Either([one, other]),
            witness,
            disagreement: false,
        }
    }

    /// Reports a doubt: the call stack names `own`, the request of the calling task, but the call may have
    /// been made for one of the `others`, or for a request that is not known.
    #[must_use]
    pub fn doubtful(
        own: Arc<RequestScope>,
        others: impl IntoIterator<Item = Arc<RequestScope>>,
        doubt: Doubt,
    ) -> Self {
        let candidates = std::iter::once(own).chain(others).collect();
        Self {
            requests: Requests::InDoubt(doubt, candidates),
            witness: Witness::Stack,
            disagreement: false,
        }
    }

    /// No evidence.
    #[must_use]
    pub fn unknown() -> Self {
        Self {
            requests: Requests::Nobody,
            witness: Witness::None,
            disagreement: false,
        }
    }

    /// Marks the attribution as not confirmed by the call stack.
    #[must_use]
    pub fn against_the_stack(self) -> Self {
        Self {
            disagreement: true,
            ..self
        }
    }

    /// Returns the request, if it is known exactly.
    #[must_use]
    pub fn scope(&self) -> Option<&Arc<RequestScope>> {
        match &self.requests {
            Requests::One(scope) => Some(scope),
            Requests::Either(_) | Requests::InDoubt(..) | Requests::Untold | Requests::Nobody => {
                None
            }
        }
    }

    /// Returns the request of the calling task, even if it is in doubt for which request it calls.
    #[must_use]
    pub fn running(&self) -> Option<&Arc<RequestScope>> {
        match &self.requests {
            Requests::InDoubt(_, candidates) => candidates.first(),
            _ => self.scope(),
        }
    }

    /// Returns the requests that an ambiguous effect may have been for: two or more, or none if the evidence
    /// names none. If the call stack is in [doubt](Self::doubt), the first is the request of the calling
    /// task, and it may be the only one known. Empty for the other verdicts.
    #[must_use]
    pub fn candidates(&self) -> &[Arc<RequestScope>] {
        match &self.requests {
            Requests::Either(scopes) => scopes,
            Requests::InDoubt(_, scopes) => scopes,
            Requests::One(_) | Requests::Untold | Requests::Nobody => &[],
        }
    }

    /// Returns the verdict.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.requests {
            Requests::One(_) => Verdict::Exact,
            Requests::Either(_) | Requests::InDoubt(..) | Requests::Untold => Verdict::Ambiguous,
            Requests::Nobody => Verdict::Unknown,
        }
    }

    /// Returns the evidence that the verdict rests on.
    #[must_use]
    pub fn witness(&self) -> Witness {
        self.witness
    }

    /// Returns why the call stack is not trusted, although it is intact.
    #[must_use]
    pub fn doubt(&self) -> Option<Doubt> {
        match self.requests {
            Requests::InDoubt(doubt, _) => Some(doubt),
            _ => None,
        }
    }

    /// Returns true if the verdict contradicts the call stack, or the call stack is broken: the guest's
    /// runtime works for one request in another's task, or the guest lies.
    #[must_use]
    pub fn is_against_the_stack(&self) -> bool {
        self.disagreement
    }
}
