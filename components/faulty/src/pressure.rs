//! Backpressure that is misused: `GET /hold`, `/hold-and-leave`, `/hold-and-trap`, `/toggle?n=100`;
//! and that is used properly: `/held-slow?ms=20`.

use crate::{call_if_asked, forever, who};
use guest::{ErrorCode, Query, Request, Response, text, wait};
use wasip3::spawn_local;
use wasip3::wit_bindgen::{backpressure_dec, backpressure_inc, yield_async};

/// Holds it forever, and keeps a task alive.
pub fn hold() -> Response {
    backpressure_inc();
    spawn_local(async { forever().await });
    text(200, "holding\n")
}

/// Holds it forever without a task that could release it.
pub fn hold_and_leave() -> Response {
    backpressure_inc();
    text(200, "holding\n")
}

/// Holds it, calls an upstream if there is one, and traps.
pub async fn hold_and_trap(query: &Query, request: &Request) -> Result<Response, ErrorCode> {
    backpressure_inc();
    call_if_asked(query, request).await;
    panic!("deliberate panic under backpressure")
}

/// Holds it for this long before it answers.
pub async fn held_slow(milliseconds: u64) -> Response {
    backpressure_inc();
    wait(milliseconds).await;
    backpressure_dec();
    who()
}

/// Acquires and releases it `n` times: within one turn, over a yield, and over a wait.
pub async fn toggle(n: u64) -> Response {
    for i in 0..n {
        backpressure_inc();
        match i % 3 {
            0 => {}
            1 => yield_async().await,
            _ => wait(1).await,
        }
        backpressure_dec();
        yield_async().await;
    }
    who()
}
