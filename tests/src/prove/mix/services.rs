//! The services and their guests.

use super::kinds::{
    BODIES, BY_SOLE, EXECUTOR, LATE, LYING_EXECUTOR, P2, QUIET, kind, leaving, short,
};
use super::{EARLY, Kind, Made, Service, workers};

pub(super) const fn service(
    base: &'static str,
    component: &'static str,
    share: u32,
    kinds: &'static [Kind],
) -> Service {
    Service {
        // Removes the slash; a constant function cannot use `strip_prefix`.
        name: base.split_at(1).1,
        base,
        component,
        optional: false,
        language: None,
        settings: SHARED,
        clients: 24,
        share,
        kinds,
    }
}

/// So few instances that requests share them, and none lives long. The answer comes before the last
/// calls, and a busy machine must not cut those off.
const SHARED: &str = "max_instances = 2\nmax_requests_per_instance = \"150-300\"\n\
                      post_return_timeout = \"600s\"\n";
/// The task of a request whose client has left does not end, and delays the end of its instance.
/// All calls are made before the answer.
pub(super) const LEFT: &str = "max_instances = 3\nmax_requests_per_instance = \"150-300\"\n\
                    post_return_timeout = \"5s\"\n";
/// The same for some callers that do not wait; they make calls after the answer.
const LEFT_BEHIND: &str = "max_instances = 6\nmax_requests_per_instance = \"100-200\"\n\
                           post_return_timeout = \"30s\"\n";
/// One request at a time in the same instance.
const REUSED_P2: &str = "max_instances = 4\nmax_requests_per_instance = \"20-60\"\n";
const ONE_REQUEST: &str = "max_instances = 4\nmax_requests_per_instance = \"1\"\n";
const SHORT_LIVED: &str = "max_instances = 2\nmax_requests_per_instance = \"3-9\"\n";
const REPLACED: &str = "max_instances = 2\nguest_traceparent = \"replace\"\n";

/// Behind two middlewares that the host chains, the second of which may go on after its response.
const CHAIN: &str = "max_instances = 2\nmax_requests_per_instance = \"150-300\"\n\
                     post_return_timeout = \"600s\"\nmiddleware = [\"mw\", \"mw2\"]\n";
const CHAIN_LEFT: &str = "max_instances = 3\nmax_requests_per_instance = \"150-300\"\n\
                          post_return_timeout = \"5s\"\nmiddleware = [\"mw\"]\n";
const CHAIN_P2: &str = "max_instances = 4\nmax_requests_per_instance = \"20-60\"\n\
                        middleware = [\"mw\"]\n";
/// The middlewares of chains, with more keys of each.
pub const MIDDLEWARES: &[(&str, &str)] = &[
    (
        "mw",
        "max_instances = 2\nmax_requests_per_instance = \"150-300\"\n",
    ),
    (
        "mw2",
        "max_instances = 2\nmax_requests_per_instance = \"150-300\"\npost_return_timeout = \"600s\"\n",
    ),
];

/// All services with their shares.
pub static SERVICES: &[Service] = &[
    workers::OWN,
    workers::WORKER,
    workers::WORKER_THAT_ENDS,
    workers::POOL,
    workers::POOL_THAT_ENDS,
    workers::TIMER,
    workers::FLIGHT,
    workers::MUTEX,
    workers::COMPOSED_WORKER,
    workers::COMPOSED_POOL,
    workers::PYTHON,
    workers::PYTHON_WORKERS,
    workers::C,
    workers::C_WORKER,
    Service {
        language: Some("Rust"),
        settings: LEFT,
        ..service(
            "/fanout",
            "fanout",
            40,
            &[
                kind("calls at once", "/?k=K&wait=W", 6, 8),
                leaving("/?k=K&wait=W", 2, 8),
                short("/?k=0", 4),
            ],
        )
    },
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
    Service {
        language: Some("Rust"),
        ..service(
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
        )
    },
    Service {
        settings: ONE_REQUEST,
        ..service("/p2", "outgoing-p2", 4, P2)
    },
    Service {
        settings: REUSED_P2,
        ..service("/p2-reused", "outgoing-p2", 8, P2)
    },
    Service {
        language: Some("Rust"),
        ..service(
            "/streamer",
            "streamer",
            12,
            &[kind("between chunks, and after", "/?k=K", 1, 8)],
        )
    },
    Service {
        settings: LEFT,
        ..service("/executor", "executor", 30, EXECUTOR)
    },
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
    Service {
        settings: LEFT,
        ..service(
            "/mw-fanout",
            "mw-fanout",
            15,
            &[
                kind("middleware waits", "/?k=K&wait=W", 4, 6),
                leaving("/?k=K&wait=W", 1, 6),
                short("/?k=0", 2),
            ],
        )
    },
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
    Service {
        settings: LEFT_BEHIND,
        ..service("/mwraw-mw2-detached", "mwraw-mw2-detached", 12, LATE)
    },
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
        settings: CHAIN_LEFT,
        ..service(
            "/chain-fanout",
            "fanout",
            15,
            &[
                kind("middleware waits", "/?k=K&wait=W", 4, 6),
                leaving("/?k=K&wait=W", 1, 6),
                short("/?k=0", 2),
            ],
        )
    },
    Service {
        settings: CHAIN,
        ..service("/chain-detached", "detached", 20, LATE)
    },
    Service {
        settings: CHAIN,
        ..service("/chain-streamer", "streamer", 12, BODIES)
    },
    Service {
        settings: CHAIN,
        ..service("/chain-quiet", "quiet", 12, QUIET)
    },
    Service {
        settings: CHAIN_P2,
        ..service("/chain-p2", "outgoing-p2", 6, P2)
    },
    Service {
        // This guest uses the whole path.
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
