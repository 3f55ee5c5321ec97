//! The requests that load the host.

use std::time::Duration;

/// A kind of request, and its expected result.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) path: &'static str,
    /// The number of clients that send it, each one request at a time.
    pub(crate) clients: usize,
    /// The time between the starts of two requests of one client.
    pub(crate) every: Duration,
    pub(crate) expected: Expected,
}

#[derive(Clone, Copy)]
pub(crate) enum Expected {
    /// This status. With `or_refused`, a full service may also refuse the request.
    Status { status: u16, or_refused: bool },
    /// A head and a body that is cut off, or no head if the failure is faster.
    Cut,
    /// Any result: the client leaves after this time.
    Leave(Duration),
    /// A head; the client reads the first part of the body and leaves.
    LeaveInBody,
}

const OK: Expected = Expected::Status {
    status: 200,
    or_refused: false,
};
const OK_OR_REFUSED: Expected = Expected::Status {
    status: 200,
    or_refused: true,
};

const fn fails(status: u16) -> Expected {
    Expected::Status {
        status,
        // A service that fails repeatedly may be refused without an attempt.
        or_refused: true,
    }
}

const fn kind(
    name: &'static str,
    path: &'static str,
    clients: usize,
    every_ms: u64,
    expected: Expected,
) -> Kind {
    Kind {
        name,
        path,
        clients,
        every: Duration::from_millis(every_ms),
        expected,
    }
}

/// Some 400 requests per second in total, from 41 clients. `UPSTREAM` stands for the upstream's
/// URL.
pub(crate) const KINDS: &[Kind] = &[
    kind("hello", "/hello", 6, 40, OK),
    kind(
        "fanout",
        "/fanout?to=UPSTREAM&k=3&wait=10",
        4,
        80,
        OK_OR_REFUSED,
    ),
    kind(
        "fanout, client leaves",
        "/fanout?to=UPSTREAM&k=3&wait=200",
        3,
        150,
        Expected::Leave(Duration::from_millis(60)),
    ),
    kind(
        "work after the answer",
        "/detached?to=UPSTREAM&k=1&wait=50",
        2,
        150,
        OK_OR_REFUSED,
    ),
    kind("0.2", "/p2?to=UPSTREAM&k=1", 2, 100, OK_OR_REFUSED),
    kind("backpressure", "/backpressure?wait=5", 4, 60, OK_OR_REFUSED),
    kind("body", "/bytes?n=200000", 3, 80, OK),
    kind(
        "body, client leaves",
        "/bytes?n=100000000",
        3,
        150,
        Expected::LeaveInBody,
    ),
    kind(
        "ticks, client leaves",
        "/ticks?n=100000&every=20",
        2,
        150,
        Expected::LeaveInBody,
    ),
    kind("trap", "/trap", 2, 150, fails(500)),
    kind("exit", "/exit", 1, 400, fails(500)),
    kind("error", "/error", 1, 300, fails(500)),
    kind("trap in a body", "/late-trap", 1, 300, Expected::Cut),
    kind("error in a body", "/drop-body", 1, 300, Expected::Cut),
    kind("loop", "/spin", 1, 5_000, fails(504)),
    kind("loop after the answer", "/spin-after", 1, 6_000, fails(200)),
    kind("no answer", "/never", 1, 2_500, fails(504)),
    kind("task that stays", "/respond-and-stay", 1, 1_000, fails(200)),
    kind("backpressure for ever", "/hold", 1, 3_000, fails(200)),
    kind("too much memory", "/memory", 1, 4_000, fails(500)),
];

/// Limits so low that load and failures reach them.
pub(crate) const BOUNDS: &str = "max_instances = 4\nmax_queue = 20\nqueue_timeout = \"2s\"\n";

/// Guests of which each path is a separate service, so that the results of one kind of request do
/// not depend on others.
pub(crate) const ALONE: &[(&str, &[&str])] = &[
    ("stream", &["/bytes", "/ticks"]),
    (
        "faulty",
        &[
            "/trap",
            "/exit",
            "/error",
            "/late-trap",
            "/drop-body",
            "/spin",
            "/spin-after",
            "/never",
            "/respond-and-stay",
            "/hold",
            "/memory",
        ],
    ),
];
