//! Guests in which one request's work is done in another's task, by idiom.

use super::kinds::{ECHO, STACK, STACK_AND_ECHO, TOKEN, kind, rest};
use super::services::{LEFT, service};
use super::{Kind, Made, Rule, Ruling, Service};

/// The verdict on a call whose task another request may have woken. Without such a doubt it is
/// exact.
const DOUBT: Ruling<'_> = Ruling("ambiguous", "stack");

const BY_DOUBT: &[Rule] = &[rest(&[DOUBT, STACK])];
const BY_TOKEN: &[Rule] = &[rest(&[TOKEN])];
const BY_ECHO: &[Rule] = &[rest(&[ECHO, STACK_AND_ECHO])];

/// Up to this percentage may be wrong. Nothing shows that such a call is in doubt.
const fn unmarked(most_wrong: u8) -> Rule {
    Rule {
        most_wrong: Some(most_wrong),
        ..rest(&[STACK, DOUBT])
    }
}

/// The same, but most such calls are ambiguous, on a busy machine perhaps all.
const fn doubted(most_wrong: u8) -> Rule {
    Rule {
        most_wrong: Some(most_wrong),
        ..rest(&[DOUBT, STACK])
    }
}

/// The same path with each remedy, and without any.
macro_rules! remedies {
    ($mode:literal, $path:literal, wait: $wait:literal, made: $made:expr, rules: $rules:expr) => {
        remedies!($mode, $path, wait: $wait, made: $made, rules: $rules, echo: BY_ECHO)
    };
    (
        $mode:literal, $path:literal,
        wait: $wait:literal, made: $made:expr, rules: $rules:expr, echo: $echo:expr
    ) => {
        &[
            Kind {
                longest_wait: $wait,
                made: $made,
                rules: $rules,
                ..kind($mode, concat!($path, "&k=K&wait=W"), 3, 3)
            },
            Kind {
                longest_wait: $wait,
                made: $made,
                rules: BY_TOKEN,
                ..kind(
                    concat!($mode, ", token"),
                    concat!($path, "&k=K&wait=W&witness=token"),
                    2,
                    3,
                )
            },
            Kind {
                longest_wait: $wait,
                made: $made,
                rules: $echo,
                ..kind(
                    concat!($mode, ", id sent on"),
                    concat!($path, "&k=K&wait=W&witness=echo-id"),
                    2,
                    3,
                )
            },
        ]
    };
}

const fn idiom(
    base: &'static str,
    component: &'static str,
    share: u32,
    kinds: &'static [Kind],
) -> Service {
    Service {
        language: Some("Rust"),
        // A worker that does not end delays the end of its instance.
        settings: LEFT,
        clients: 12,
        ..service(base, component, share, kinds)
    }
}

/// They could wake each other, but do not.
pub(super) const OWN: Service = idiom(
    "/own",
    "worker",
    10,
    &[Kind {
        longest_wait: 10,
        ..kind("each its own calls", "/own?k=K&wait=W", 1, 3)
    }],
);

pub(super) const WORKER: Service = idiom(
    "/worker",
    "worker",
    8,
    remedies!("worker", "/worker?ends=0", wait: 2, made: Made::All, rules: BY_DOUBT),
);
pub(super) const POOL: Service = idiom(
    "/pool",
    "worker",
    12,
    remedies!("pool", "/pool?ends=0", wait: 10, made: Made::All, rules: BY_DOUBT),
);
pub(super) const COMPOSED_WORKER: Service = idiom(
    "/mw-worker",
    "mw-worker",
    6,
    remedies!("worker behind a middleware", "/worker?ends=0", wait: 2, made: Made::All, rules: BY_DOUBT),
);
pub(super) const COMPOSED_POOL: Service = idiom(
    "/mw-pool",
    "mw-worker",
    8,
    remedies!("pool behind a middleware", "/pool?ends=0", wait: 10, made: Made::All, rules: BY_DOUBT),
);

pub(super) const WORKER_THAT_ENDS: Service = idiom(
    "/worker-ends",
    "worker",
    6,
    remedies!("worker, ends and restarts", "/worker?ends=5", wait: 2, made: Made::All, rules: BY_DOUBT),
);
pub(super) const POOL_THAT_ENDS: Service = idiom(
    "/pool-ends",
    "worker",
    8,
    remedies!("pool, ends and restarts", "/pool?ends=5", wait: 10, made: Made::All, rules: BY_DOUBT),
);

/// So few clients that it is sometimes idle.
pub(super) const TIMER: Service = Service {
    clients: 3,
    ..idiom(
        "/timer",
        "worker",
        8,
        // No request wakes it, but it wakes those that wait for it.
        remedies!("worker by a timer", "/timer?", wait: 2, made: Made::All, rules: &[doubted(20)]),
    )
};

pub(super) const FLIGHT: Service = idiom(
    "/flight",
    "worker",
    20,
    remedies!("single flight", "/flight?", wait: 10, made: Made::OnceForAll, rules: BY_DOUBT),
);

/// Each request does its own work, and wakes the next.
pub(super) const MUTEX: Service = idiom(
    "/mutex",
    "worker",
    10,
    remedies!(
        "mutex held across the call", "/mutex?",
        wait: 2, made: Made::All, rules: BY_DOUBT, echo: &[rest(&[STACK_AND_ECHO, ECHO])]
    ),
);

const fn python(base: &'static str, share: u32, kinds: &'static [Kind]) -> Service {
    Service {
        optional: true,
        language: Some("Python"),
        // An interpreter is slow.
        clients: 8,
        ..idiom(base, "python-worker", share, kinds)
    }
}

pub(super) const PYTHON: Service = python(
    "/python",
    4,
    &[Kind {
        longest_wait: 10,
        ..kind("gather", "/gather?k=K&wait=W", 1, 3)
    }],
);

/// No request wakes another: the workers poll a queue by a timer.
pub(super) const PYTHON_WORKERS: Service = python(
    "/python-workers",
    8,
    remedies!("four workers by a timer", "/worker?", wait: 2, made: Made::All, rules: &[unmarked(100)]),
);

const fn c(base: &'static str, share: u32, kinds: &'static [Kind]) -> Service {
    Service {
        language: Some("C"),
        ..idiom(base, "c-worker", share, kinds)
    }
}

pub(super) const C: Service = c("/c", 4, &[kind("each its own calls", "/own?k=K", 1, 3)]);

/// So few clients that it is sometimes idle.
pub(super) const C_WORKER: Service = Service {
    clients: 3,
    ..c(
        "/c-worker",
        6,
        remedies!("worker by a timer", "/worker?", wait: 0, made: Made::All, rules: &[unmarked(100)]),
    )
};
