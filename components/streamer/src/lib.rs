//! Outgoing requests between the chunks of a body and after its end: the task that forwards the
//! body may have ended long before.
//!
//! `GET /?to=URL&k=8`

use guest::{Call, ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, text};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Streamer;

impl wasip3::exports::http::handler::Guest for Streamer {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let calls = query.number("k", 8);
        let call = match Call::to(&query, &request) {
            Ok(call) => call,
            Err(problem) => return Ok(text(400, problem + "\n")),
        };
        let (mut to, reader) = wit_stream::new();
        let (end_writer, end) = wit_future::new(WHOLE_BODY);
        let (response, _sent) = Response::new(Fields::new(), Some(reader), end);
        spawn_local(async move {
            // The last call is made after the end of the body.
            for i in 0..calls.saturating_sub(1) {
                let _ = call.make(i).await;
                to.write_all(format!("chunk {i}\n").into()).await;
            }
            drop(to);
            let _ = end_writer.write(Ok(None)).await;
            if calls > 0 {
                let _ = call.make(calls - 1).await;
            }
        });
        Ok(response)
    }
}

wasip3::http::service::export!(Streamer);
