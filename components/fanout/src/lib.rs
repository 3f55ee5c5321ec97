//! Many outgoing requests at once from one incoming request, each after its own wait: the tasks of
//! all requests in an instance interleave, so that only the host can tell which request a call is
//! for.
//!
//! `GET /?to=URL&k=5&wait=20`

use futures::future::try_join_all;
use guest::{Call, ErrorCode, Query, Request, Response, tag, text, wait};
use wasip3::random::insecure::get_insecure_random_u64;

struct Fanout;

impl wasip3::exports::http::handler::Guest for Fanout {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let calls = query.number("k", 5);
        let longest_wait = query.number("wait", 20);
        let call = match Call::to(&query, &request) {
            Ok(call) => call,
            Err(problem) => return Ok(text(400, problem + "\n")),
        };

        let all = try_join_all((0..calls).map(|i| {
            let call = &call;
            async move {
                wait(get_insecure_random_u64() % longest_wait.saturating_add(1)).await;
                call.make(i).await
            }
        }));
        Ok(match all.await {
            Ok(answers) => {
                let mut body = tag(&request);
                body.extend(format!(": {} of {calls} answered\n", answers.len()).bytes());
                text(200, body)
            }
            Err(problem) => text(502, problem + "\n"),
        })
    }
}

wasip3::http::service::export!(Fanout);
