//! The requests to send and their expected results: the one table that the proof is based on.

use crate::guests;

mod kinds;
mod services;
mod workers;

pub use services::{MIDDLEWARES, SERVICES};

/// A service of the host under test.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// The prefix of its requests' paths.
    pub base: &'static str,
    /// The guest.
    pub component: &'static str,
    /// True if the guest may be missing: its compiler comes from a registry that is not needed
    /// otherwise.
    pub optional: bool,
    /// The language of the guest, if it is a row of the table of idioms in
    /// `docs/explanation/attribution-proof.md`.
    pub language: Option<&'static str>,
    /// Additional lines for `headwater.toml`.
    pub settings: &'static str,
    /// The number of its clients, each with one request at a time.
    pub clients: usize,
    /// This service's share of all calls.
    pub share: u32,
    /// The kinds of requests, which clients choose at random.
    pub kinds: &'static [Kind],
}

/// One kind of request.
#[derive(Debug)]
pub struct Kind {
    /// The guest's behaviour, in a few words.
    pub mode: &'static str,
    /// Path and query after the route. `K`, `W` and `N` stand for random numbers.
    pub path: &'static str,
    /// This kind's share of the service's requests.
    pub share: u32,
    /// The maximum of `K`, which is at least 1 (0 if this is 0): the number of calls, from
    /// `/call/0` on.
    pub most_calls: u16,
    /// The maximum of `W`, in milliseconds.
    pub longest_wait: u64,
    /// The maximum of `N`, which is at least 1: how many times the next handler makes all the
    /// calls.
    pub most_copies: u16,
    /// If true, there is one more call, [`DIRECT`].
    pub direct: bool,
    /// If true, the upstream is slow, so that the request continues for long after its answer.
    pub slow: bool,
    /// The calls that are certain to be made.
    pub made: Made,
    /// The rules that the documentation gives for its calls, those of [`Of::One`] first.
    pub rules: &'static [Rule],
}

/// The calls that are certain to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// All, and the answer is 200.
    All,
    /// All if the answer is 200; none if it is 502, when the guest found no other request to work
    /// for it.
    IfAnswered,
    /// Any number: one request makes them for others too, whose answers are also 200.
    OnceForAll,
    /// Any number: something traps, perhaps before they are made.
    UntilTrap,
    /// Any number: the client leaves after at most this number of milliseconds.
    UntilLeft(u64),
}

/// The verdicts that some calls of a kind may get.
#[derive(Debug)]
pub struct Rule {
    /// The calls.
    pub of: Of,
    /// The allowed verdicts. The first must occur at least once, unless no call is certain to be
    /// made.
    pub allowed: &'static [Ruling<'static>],
    /// The documented limit: no event at the boundary shows that the calling task works for another
    /// request, so up to this percentage of the calls may be attributed to the wrong one. Such
    /// calls show why a witness is needed, and prove nothing else.
    pub most_wrong: Option<u8>,
}

/// Some calls of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// The call with this number.
    One(u16),
    /// All calls without a rule of their own.
    Rest,
}

/// A verdict and its witness, as in the span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ruling<'a>(pub &'a str, pub &'a str);

/// The number of the call that a request of `executor` makes itself.
pub const DIRECT: u16 = 1000;
/// The service that makes outgoing calls when it is instantiated.
pub const EARLY: &str = "early";
/// The expected verdict on those calls.
pub const EARLY_RULING: Ruling<'_> = Ruling("unknown", "none");

impl Service {
    /// Returns true if the service takes part. Only a missing optional guest excludes it.
    #[must_use]
    pub fn is_here(&self) -> bool {
        !self.optional || guests::guest(self.component).is_ok()
    }
}

impl Kind {
    /// Returns the rule for the call with this number.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&'static Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.of == Of::Rest || rule.of == Of::One(number))
    }

    /// Returns true if some of its calls are (almost) certain to be made: no client leaves and
    /// nothing traps.
    #[must_use]
    pub fn is_steady(&self) -> bool {
        self.most_calls > 0 && matches!(self.made, Made::All | Made::IfAnswered | Made::OnceForAll)
    }

    /// Returns true if `K` is passed to the guest. Otherwise the guest always makes that number of
    /// calls.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.path.contains("=K")
    }
}
