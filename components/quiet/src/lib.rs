//! Work that is invisible until its caller has ended: the handler returns an error code, for which
//! it calls no import, and a spawned task yields several times before it calls the first. Each
//! outgoing request is made by a task that the previous one spawned.
//!
//! `GET /?to=URL&k=4`

use guest::{Call, ErrorCode, Query, Request, Response};
use wasip3::spawn_local;
use wasip3::wit_bindgen::yield_async;

/// Enough turns for the caller to have ended.
const TURNS: usize = 10;

struct Quiet;

impl wasip3::exports::http::handler::Guest for Quiet {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        spawn_local(async move {
            for _ in 0..TURNS {
                yield_async().await;
            }
            let query = Query::of(&request);
            if let Ok(call) = Call::to(&query, &request) {
                chain(call, 0, query.number("k", 4));
            }
        });
        Err(ErrorCode::HttpRequestDenied)
    }
}

wasip3::http::service::export!(Quiet);

/// Spawns the task that makes the `i`th call, and then the next.
fn chain(call: Call, i: u64, calls: u64) {
    if i == calls {
        return;
    }
    spawn_local(async move {
        let _ = call.make(i).await;
        yield_async().await;
        chain(call, i + 1, calls);
    });
}
