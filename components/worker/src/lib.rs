//! Common ways to share work between the requests of an instance. In all but one of them a
//! request's calls are made in the task of another request, and the call stack names that one.
//!
//! `GET /worker?to=URL&k=1&wait=0&witness=none&ends=0`, and the other paths in the same way:
//!
//! - `/worker`: one task takes jobs from a channel, one at a time. The first request spawned it.
//! - `/pool`: the same, but takes all available jobs at once.
//! - `/timer`: a task polls a queue every few milliseconds, and ends when it was empty for a while. No
//!   request wakes it.
//! - `/flight`: requests that arrive during a call wait for it instead of making another one, and each
//!   of them polls it.
//! - `/mutex`: each request makes its calls itself, while it holds the lock.
//! - `/own`: each request makes its calls itself, and has nothing to do with others.
//!
//! A job waits for `wait` milliseconds and makes one call, `GET {to}/call/{i}`; each request has
//! `k`. With `ends=8` a worker ends after this many jobs, and a request that has work for it spawns
//! another. `witness` selects how calls name their request: `none`; `token`, entered around each
//! poll; or `echo-id`, its `x-request-id`.

mod channel;
mod flight;
mod job;
mod mutex;
mod timer;

use futures::future::try_join_all;
use guest::{ErrorCode, Query, Request, Response, tag, text};

use crate::job::Plan;

struct Worker;

impl wasip3::exports::http::handler::Guest for Worker {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let plan = match Plan::of(&query, &request) {
            Ok(plan) => plan,
            Err(problem) => return Ok(text(400, problem + "\n")),
        };
        // Works under any route.
        let how = query.path.rsplit('/').next().unwrap_or_default();
        let ends = query.number("ends", 0);
        let done = match how {
            "worker" => try_join_all(plan.jobs().map(|job| channel::work(job, false, ends))).await,
            "pool" => try_join_all(plan.jobs().map(|job| channel::work(job, true, ends))).await,
            "timer" => try_join_all(plan.jobs().map(timer::work)).await,
            "flight" => try_join_all(plan.jobs().map(flight::work)).await,
            "mutex" => try_join_all(plan.jobs().map(mutex::work)).await,
            "own" => try_join_all(plan.jobs()).await,
            _ => return Ok(text(404, format!("there is no /{how}\n"))),
        };
        Ok(match done {
            Ok(done) => {
                let mut body = tag(&request);
                body.extend(format!(": {} of {} answered\n", done.len(), done.len()).bytes());
                text(200, body)
            }
            Err(problem) => text(502, problem + "\n"),
        })
    }
}

wasip3::http::service::export!(Worker);
