//! Sends a good answer, and then fails: `GET /spin-after`, `/exit-after`, `/trap-after`,
//! `/respond-and-stay`.

use crate::{forever, spin};
use guest::{Response, text, wait};
use std::future::Future;
use wasip3::{cli::exit::exit, spawn_local};

/// The time in which the host reads an answer to its end, in milliseconds.
const LEAVE: u64 = 100;

/// Loops forever without a host call.
pub fn spin_after() -> Response {
    answer_and(async { spin() })
}

/// Ends the program.
pub fn exit_after() -> Response {
    answer_and(async { exit(Ok(())) })
}

/// Traps.
pub fn trap_after() -> Response {
    answer_and(async { panic!("deliberate panic after an answer") })
}

/// Waits forever.
pub fn stay() -> Response {
    answer_and(async { forever().await })
}

fn answer_and(then: impl Future<Output = ()> + 'static) -> Response {
    spawn_local(async move {
        wait(LEAVE).await;
        then.await;
    });
    text(200, "answered\n")
}
