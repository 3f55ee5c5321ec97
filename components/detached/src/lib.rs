//! Work that continues after the answer: a spawned task makes a call long after the client was
//! served. The host must still know which request it is for.
//!
//! `GET /?to=URL&k=1&wait=200`

use guest::{Call, ErrorCode, Query, Request, Response, tag, text, wait};

struct Detached;

impl wasip3::exports::http::handler::Guest for Detached {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let calls = query.number("k", 1);
        let delay = query.number("wait", 200);
        let call = match Call::to(&query, &request) {
            Ok(call) => call,
            Err(problem) => return Ok(text(400, problem + "\n")),
        };

        wasip3::spawn_local(async move {
            wait(delay).await;
            for i in 0..calls {
                if let Err(problem) = call.make(i).await {
                    eprintln!("call {i} after the answer: {problem}");
                }
            }
        });
        let mut body = tag(&request);
        body.extend(b": answered\n");
        Ok(text(200, body))
    }
}

wasip3::http::service::export!(Detached);
