//! The requests to the guests, and the results that the documentation promises.

use super::{DIRECT, Kind, Made, Of, Rule, Ruling};

pub(super) const STACK: Ruling<'_> = Ruling("exact", "stack");
const SOLE: Ruling<'_> = Ruling("exact", "sole");
pub(super) const TOKEN: Ruling<'_> = Ruling("exact", "declaration");
pub(super) const ECHO: Ruling<'_> = Ruling("exact", "echo");
pub(super) const STACK_AND_ECHO: Ruling<'_> = Ruling("exact", "stack+echo");
const BOTH: Ruling<'_> = Ruling("ambiguous", "both");

pub(super) const fn rest(allowed: &'static [Ruling<'static>]) -> Rule {
    Rule {
        of: Of::Rest,
        allowed,
        most_wrong: None,
    }
}

const fn one(number: u16, allowed: &'static [Ruling<'static>]) -> Rule {
    Rule {
        of: Of::One(number),
        ..rest(allowed)
    }
}

const BY_STACK: &[Rule] = &[rest(&[STACK])];
pub(super) const BY_SOLE: &[Rule] = &[rest(&[SOLE])];
/// The rules for a request whose work others do: only its own call is by the stack.
const BY_TOKEN: &[Rule] = &[one(DIRECT, &[STACK]), rest(&[TOKEN])];
const BY_ECHO: &[Rule] = &[one(DIRECT, &[STACK]), rest(&[ECHO, STACK_AND_ECHO])];
const BY_NOTHING: &[Rule] = &[
    one(DIRECT, &[STACK]),
    Rule {
        most_wrong: Some(100),
        ..rest(&[STACK])
    },
];

pub(super) const fn kind(
    mode: &'static str,
    path: &'static str,
    share: u32,
    most_calls: u16,
) -> Kind {
    Kind {
        mode,
        path,
        share,
        most_calls,
        longest_wait: 20,
        most_copies: 1,
        direct: false,
        slow: false,
        made: Made::All,
        rules: BY_STACK,
    }
}

/// A request without calls: its task ends soon, and others get the number of its task.
pub(super) const fn short(path: &'static str, share: u32) -> Kind {
    kind("short, no call", path, share, 0)
}

pub(super) const fn leaving(path: &'static str, share: u32, most_calls: u16) -> Kind {
    Kind {
        made: Made::UntilLeft(60),
        ..kind("client leaves", path, share, most_calls)
    }
}

/// A request whose work another request does.
const fn swapped(
    mode: &'static str,
    path: &'static str,
    share: u32,
    rules: &'static [Rule],
) -> Kind {
    Kind {
        direct: true,
        rules,
        ..kind(mode, path, share, 4)
    }
}

pub(super) const P2: &[Kind] = &[
    Kind {
        rules: BY_SOLE,
        ..kind("no echo", "/?k=K", 1, 4)
    },
    Kind {
        rules: BY_SOLE,
        ..kind("echo", "/?k=K&echo", 1, 4)
    },
];

pub(super) const LATE: &[Kind] = &[
    kind("early exit", "/?mw=early&k=K&wait=W", 2, 2),
    kind("middleware spins", "/?mw=spin&k=K&wait=W", 2, 2),
    Kind {
        most_copies: 4,
        ..kind(
            "late, several times",
            "/?mw=late&n=N&after=W&k=K&wait=W",
            2,
            2,
        )
    },
    short("/?mw=early&k=0&wait=0", 4),
];

pub(super) const QUIET: &[Kind] = &[kind("first call late", "/?k=K", 2, 4), short("/?k=0", 3)];

pub(super) const BODIES: &[Kind] = &[
    kind("body passed on", "/?mw=pass&k=K", 1, 8),
    kind("body copied", "/?mw=copy&k=K", 1, 8),
];

const NONE: Kind = swapped("no witness", "/?witness=none&k=K&wait=W", 2, BY_NOTHING);
const TOKENS: Kind = swapped("token", "/?witness=token&k=K&wait=W", 2, BY_TOKEN);
const ECHOES: Kind = swapped("echo", "/?witness=echo&k=K&wait=W", 2, BY_ECHO);

pub(super) const EXECUTOR: &[Kind] = &[
    NONE,
    TOKENS,
    ECHOES,
    swapped("echo by id", "/?witness=echo-id&k=K&wait=W", 2, BY_ECHO),
    swapped(
        "token and echo",
        "/?witness=token-echo&k=K&wait=W",
        2,
        BY_TOKEN,
    ),
    Kind {
        made: Made::UntilLeft(30),
        ..swapped(
            "token, client leaves",
            "/?witness=token&k=K&wait=W",
            1,
            BY_TOKEN,
        )
    },
];

pub(super) const LYING_EXECUTOR: &[Kind] = &[
    NONE,
    TOKENS,
    ECHOES,
    // Its own token and another request's id: a contradiction only while the other request lives.
    Kind {
        made: Made::IfAnswered,
        ..swapped(
            "token, another's echo",
            "/?witness=clash&k=K&wait=W",
            2,
            &[one(DIRECT, &[STACK]), rest(&[BOTH, TOKEN])],
        )
    },
    Kind {
        made: Made::IfAnswered,
        ..swapped(
            "echo of two requests",
            "/?witness=torn&k=K&wait=W",
            2,
            &[one(DIRECT, &[STACK]), rest(&[BOTH, ECHO, STACK_AND_ECHO])],
        )
    },
    Kind {
        rules: &[one(0, &[TOKEN]), one(1, &[STACK])],
        ..fixed("left in another order", "/order", 1, 2)
    },
    Kind {
        // The lapsed token is its own, as the stack shows.
        ..fixed("token across an await", "/across", 1, 2)
    },
    Kind {
        slow: true,
        ..fixed("keeps a token", "/linger", 4, 1)
    },
    Kind {
        made: Made::IfAnswered,
        rules: &[one(0, &[BOTH, STACK]), one(1, &[STACK])],
        ..fixed("another's lapsed token", "/across-kept", 4, 2)
    },
];

/// A request that always makes this number of calls.
pub(super) const fn fixed(mode: &'static str, path: &'static str, share: u32, calls: u16) -> Kind {
    Kind {
        longest_wait: 0,
        ..kind(mode, path, share, calls)
    }
}
