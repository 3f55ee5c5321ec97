//! What is sent, and what must come of it: the one table that the proof rests on.

/// A service of the host under test.
#[derive(Debug)]
pub struct Service {
    /// Its name.
    pub name: &'static str,
    /// The path that its requests' paths are below.
    pub base: &'static str,
    /// The guest.
    pub component: &'static str,
    /// Further lines of `headwater.toml`.
    pub settings: &'static str,
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
    /// The verdicts. The first must have been given at least once by the end.
    pub allowed: &'static [Ruling<'static>],
    /// The documented limit: the call stack names the task that polls, so an exact verdict may name
    /// another request. Such calls show why a witness is needed, and prove nothing else.
    pub names_who_polls: bool,
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

const STACK: Ruling<'_> = Ruling("exact", "stack");
const SOLE: Ruling<'_> = Ruling("exact", "sole");
const TOKEN: Ruling<'_> = Ruling("exact", "declaration");
const ECHO: Ruling<'_> = Ruling("exact", "echo");
const STACK_AND_ECHO: Ruling<'_> = Ruling("exact", "stack+echo");
const BOTH: Ruling<'_> = Ruling("ambiguous", "both");

const fn rest(allowed: &'static [Ruling<'static>]) -> Rule {
    Rule {
        of: Of::Rest,
        allowed,
        names_who_polls: false,
    }
}

const fn one(number: u16, allowed: &'static [Ruling<'static>]) -> Rule {
    Rule {
        of: Of::One(number),
        ..rest(allowed)
    }
}

const BY_STACK: &[Rule] = &[rest(&[STACK])];
const BY_SOLE: &[Rule] = &[rest(&[SOLE])];
/// Of a request whose work others do: what it does itself is by the stack.
const BY_TOKEN: &[Rule] = &[one(DIRECT, &[STACK]), rest(&[TOKEN])];
const BY_ECHO: &[Rule] = &[one(DIRECT, &[STACK]), rest(&[ECHO, STACK_AND_ECHO])];
const BY_NOTHING: &[Rule] = &[
    one(DIRECT, &[STACK]),
    Rule {
        names_who_polls: true,
        ..rest(&[STACK])
    },
];

const fn kind(mode: &'static str, path: &'static str, share: u32, most_calls: u16) -> Kind {
    Kind {
        mode,
        path,
        share,
        most_calls,
        longest_wait: 20,
        most_copies: 1,
        direct: false,
        made: Made::All,
        rules: BY_STACK,
    }
}

/// A request that calls nobody: it comes and goes, and others get its task's number.
const fn short(path: &'static str, share: u32) -> Kind {
    kind("short, no call", path, share, 0)
}

const fn leaving(path: &'static str, share: u32, most_calls: u16) -> Kind {
    Kind {
        made: Made::UntilLeft(60),
        ..kind("client leaves", path, share, most_calls)
    }
}

/// Work that another request does.
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

const fn service(
    base: &'static str,
    component: &'static str,
    share: u32,
    kinds: &'static [Kind],
) -> Service {
    Service {
        // Without the slash; a constant function has no `strip_prefix`.
        name: base.split_at(1).1,
        base,
        component,
        settings: SHARED,
        share,
        kinds,
    }
}

/// So few instances that requests share them, and none for long.
const SHARED: &str = "max_instances = 2\nmax_requests_per_instance = \"150-300\"\n";
/// One request at a time, in the same instance.
const REUSED_P2: &str = "max_instances = 4\nmax_requests_per_instance = \"20-60\"\n";
const ONE_REQUEST: &str = "max_instances = 4\nmax_requests_per_instance = \"1\"\n";
const SHORT_LIVED: &str = "max_instances = 2\nmax_requests_per_instance = \"3-9\"\n";
const REPLACED: &str = "max_instances = 2\nguest_traceparent = \"replace\"\n";

/// All services, each with its share.
pub const SERVICES: &[Service] = &[
    service(
        "/fanout",
        "fanout",
        40,
        &[
            kind("calls at once", "/?k=K&wait=W", 6, 8),
            leaving("/?k=K&wait=W", 2, 8),
            short("/?k=0", 4),
        ],
    ),
    Service {
        settings: ONE_REQUEST,
        ..service(
            "/fanout-sole",
            "fanout",
            4,
            &[Kind {
                rules: BY_SOLE,
                ..kind("one request an instance", "/?k=K&wait=W", 1, 8)
            }],
        )
    },
    service(
        "/detached",
        "detached",
        25,
        &[
            Kind {
                longest_wait: 80,
                ..kind("after the response", "/?k=K&wait=W", 3, 3)
            },
            short("/?k=0&wait=0", 4),
        ],
    ),
    Service {
        settings: ONE_REQUEST,
        ..service("/p2", "outgoing-p2", 4, P2)
    },
    Service {
        settings: REUSED_P2,
        ..service("/p2-reused", "outgoing-p2", 8, P2)
    },
    service(
        "/streamer",
        "streamer",
        12,
        &[kind("between chunks, and after", "/?k=K", 1, 8)],
    ),
    service("/executor", "executor", 30, EXECUTOR),
    Service {
        settings: REPLACED,
        ..service("/executor-lying", "executor", 20, LYING_EXECUTOR)
    },
    service(
        "/mw-detached",
        "mw-detached",
        20,
        &[
            Kind {
                longest_wait: 50,
                ..kind("all callers gone", "/?k=K&wait=W", 3, 2)
            },
            short("/?k=0&wait=0", 4),
        ],
    ),
    service(
        "/mw-fanout",
        "mw-fanout",
        15,
        &[
            kind("middleware waits", "/?k=K&wait=W", 4, 6),
            leaving("/?k=K&wait=W", 1, 6),
            short("/?k=0", 2),
        ],
    ),
    service(
        "/mw-mw-detached",
        "mw-mw-detached",
        15,
        &[
            kind("all callers gone", "/?k=K&wait=W", 3, 2),
            short("/?k=0&wait=0", 3),
        ],
    ),
    service("/mw-mw2-detached", "mw-mw2-detached", 25, LATE),
    service(
        "/mwraw-detached",
        "mwraw-detached",
        12,
        &[
            kind("caller does not wait", "/?k=K&wait=W", 3, 2),
            short("/?k=0&wait=0", 3),
        ],
    ),
    service("/mwraw-mw2-detached", "mwraw-mw2-detached", 12, LATE),
    service("/mw2-quiet", "mw2-quiet", 20, QUIET),
    service("/mw2-mw2-quiet", "mw2-mw2-quiet", 15, QUIET),
    service("/mw2-streamer", "mw2-streamer", 12, BODIES),
    service("/mw-mw2-streamer", "mw-mw2-streamer", 12, BODIES),
    service(
        "/mwraw-fanout",
        "mwraw-fanout",
        1,
        &[Kind {
            made: Made::UntilTrap,
            ..kind("traps by its caller's end", "/?k=K&wait=W", 1, 4)
        }],
    ),
    Service {
        // It goes by the whole path.
        base: "",
        ..service(
            "/faulty",
            "faulty",
            1,
            &[Kind {
                made: Made::UntilTrap,
                ..kind("traps after its call", "/trap", 1, 1)
            }],
        )
    },
    Service {
        settings: SHORT_LIVED,
        ..service("/early", EARLY, 2, &[short("/", 1)])
    },
];

const P2: &[Kind] = &[
    Kind {
        rules: BY_SOLE,
        ..kind("no echo", "/?k=K", 1, 4)
    },
    Kind {
        rules: BY_SOLE,
        ..kind("echo", "/?k=K&echo", 1, 4)
    },
];

const LATE: &[Kind] = &[
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

const QUIET: &[Kind] = &[kind("first call late", "/?k=K", 2, 4), short("/?k=0", 3)];

const BODIES: &[Kind] = &[
    kind("body passed on", "/?mw=pass&k=K", 1, 8),
    kind("body copied", "/?mw=copy&k=K", 1, 8),
];

const NONE: Kind = swapped("no witness", "/?witness=none&k=K&wait=W", 2, BY_NOTHING);
const TOKENS: Kind = swapped("token", "/?witness=token&k=K&wait=W", 2, BY_TOKEN);
const ECHOES: Kind = swapped("echo", "/?witness=echo&k=K&wait=W", 2, BY_ECHO);

const EXECUTOR: &[Kind] = &[
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

const LYING_EXECUTOR: &[Kind] = &[
    NONE,
    TOKENS,
    ECHOES,
    // Of its own token and another's name: only while the other lives is that a contradiction.
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
        // What lapsed is its own, as the stack says.
        ..fixed("token across an await", "/across", 1, 2)
    },
    fixed("keeps a token", "/linger", 4, 1),
    Kind {
        made: Made::IfAnswered,
        rules: &[one(0, &[BOTH, STACK]), one(1, &[STACK])],
        ..fixed("another's lapsed token", "/across-kept", 4, 2)
    },
];

/// A request that makes so many calls, whatever it is asked.
const fn fixed(mode: &'static str, path: &'static str, share: u32, calls: u16) -> Kind {
    Kind {
        longest_wait: 0,
        ..kind(mode, path, share, calls)
    }
}

impl Kind {
    /// The rule for a call of this number.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&'static Rule> {
        let mut rules = self.rules.iter();
        rules.find(|rule| rule.of == Of::Rest || rule.of == Of::One(number))
    }

    /// Whether `K` is what the guest is asked for, rather than what it does anyway.
    #[must_use]
    pub fn asks(&self) -> bool {
        self.path.contains("=K")
    }
}
