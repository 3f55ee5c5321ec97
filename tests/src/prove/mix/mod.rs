//! What is sent, and what must come of it: the one table that the proof rests on.

use crate::guests;

mod kinds;
mod services;
mod workers;

pub use services::SERVICES;

/// A service of the host under test.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// The path that its requests' paths are below.
    pub base: &'static str,
    /// The guest.
    pub component: &'static str,
    /// Whether its guest may be missing: what builds it comes from a registry that is of no other use.
    pub optional: bool,
    /// What it is written in, if it is a row of the table of idioms in `docs/explanation/attribution-proof.md`.
    pub language: Option<&'static str>,
    /// Further lines of `headwater.toml`.
    pub settings: &'static str,
    /// Its clients, each with one request at a time.
    pub clients: usize,
    /// Of all calls, how many parts are made by this service.
    pub share: u32,
    /// What its clients ask for, one kind or another at random.
    pub kinds: &'static [Kind],
}

/// One kind of request.
#[derive(Debug)]
pub struct Kind {
    /// What the guest does, in a word or two.
    pub mode: &'static str,
    /// Path and query behind the route. `K`, `W` and `N` stand for random numbers.
    pub path: &'static str,
    /// Of the service's requests, how many parts are of this kind.
    pub share: u32,
    /// `K` is from 1 (0 if this is 0) to this: so many calls are made, from `/call/0` on.
    pub most_calls: u16,
    /// `W` is at most this: milliseconds.
    pub longest_wait: u64,
    /// `N` is from 1 to this: so many times the next handler makes all the calls.
    pub most_copies: u16,
    /// Whether there is one call more, [`DIRECT`].
    pub direct: bool,
    /// Whether the upstream takes its time, so that the request goes on for long after its answer.
    pub slow: bool,
    /// Which of the calls are made.
    pub made: Made,
    /// What the documentation says of its calls, those of [`Of::One`] first.
    pub rules: &'static [Rule],
}

/// Which of the calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// All, and the answer is 200.
    All,
    /// All if the answer is 200; none if it is 502: the guest found nobody to do it with.
    IfAnswered,
    /// Any of them: one request makes them for others too, whose answers are 200 all the same.
    OnceForAll,
    /// Any of them: something traps, perhaps before they are made.
    UntilTrap,
    /// Any of them: the client leaves after up to so many milliseconds.
    UntilLeft(u64),
}

/// The verdicts that some calls of a kind may get.
#[derive(Debug)]
pub struct Rule {
    /// The calls.
    pub of: Of,
    /// The verdicts. The first must have been given at least once by the end, unless no call is certain
    /// to be made.
    pub allowed: &'static [Ruling<'static>],
    /// The documented limit: nothing at the boundary tells that the task that calls works for another
    /// request, so up to so many percent of the calls may be attributed to the wrong one. Such calls
    /// show why a witness is needed, and prove nothing else.
    pub most_wrong: Option<u8>,
}

/// Some calls of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// The call of this number.
    One(u16),
    /// All that no rule before is for.
    Rest,
}

/// A verdict and its witness, as the span says them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling<'a>(pub &'a str, pub &'a str);

/// The number of the call that a request of `executor` makes itself.
pub const DIRECT: u16 = 1000;
/// The service that calls out when it is instantiated.
pub const EARLY: &str = "early";
/// What comes of those calls.
pub const EARLY_RULING: Ruling<'_> = Ruling("unknown", "none");

impl Service {
    /// Whether it takes part. Only a guest that may be missing can keep it away.
    #[must_use]
    pub fn is_here(&self) -> bool {
        !self.optional || guests::guest(self.component).is_ok()
    }
}

impl Kind {
    /// The rule for a call of this number.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&'static Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.of == Of::Rest || rule.of == Of::One(number))
    }

    /// Whether some of its calls are certain to be made, or nearly so: nobody leaves, nothing traps.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.most_calls > 0 && matches!(self.made, Made::All | Made::IfAnswered | Made::OnceForAll)
    }

    /// Whether `K` is what the guest is asked for, rather than what it does anyway.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.path.contains("=K")
    }
}
