//! A middleware that does everything at another time than the next handler expects. The query
//! selects how:
//!
//! - `mw=early` (the default): answers at once; a spawned task calls the next handler.
//! - `mw=pass`: awaits the next handler, returns its response, and ends while its body is being sent.
//! - `mw=copy`: does the same, with a new body, to which a spawned task copies.
//! - `mw=late&n=1&after=20`: answers at once; `n` spawned tasks wait `after` milliseconds, and each
//!   then calls the next handler.
//! - `mw=spin&turns=20`: answers at once; a spawned task yields this many times, without calling any
//!   import, and then calls the next handler.

use guest::{ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, tag, text, wait};
use wasip3::wit_bindgen::{StreamResult, yield_async};
use wasip3::{spawn_local, wit_future, wit_stream};

struct Middleware;

impl wasip3::exports::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let mode = query.get("mw").unwrap_or("early");
        if mode == "pass" {
            return next::next(request).await;
        }
        if mode == "copy" {
            return next::next(request).await.map(copy);
        }
        let mut body = tag(&request);
        body.extend(b": answered by the middleware\n");
        match mode {
            "late" => {
                for _ in 0..query.number("n", 1) {
                    let (request, after) = (next::again(&request), query.number("after", 20));
                    spawn_local(async move {
                        wait(after).await;
                        let _ = next::next(request).await;
                    });
                }
            }
            "spin" => {
                let turns = query.number("turns", 20);
                spawn_local(async move {
                    for _ in 0..turns {
                        yield_async().await;
                    }
                    let _ = next::next(request).await;
                });
            }
            _ => {
                spawn_local(async move {
                    let _ = next::next(request).await;
                });
            }
        }
        Ok(text(200, body))
    }
}

wasip3::http::service::export!(Middleware);

/// Returns the same answer, with a body that a task of this component copies.
fn copy(response: Response) -> Response {
    let headers = Fields::new();
    let length = response.get_headers().get("content-length");
    // The host may reject the header.
    let _ = headers.set("content-length", &length);
    let status = response.get_status_code();
    let (_, accepted) = wit_future::new(|| Ok(()));
    let (mut from, from_end) = Response::consume_body(response, accepted);
    let (mut to, reader) = wit_stream::new();
    let (to_end, end) = wit_future::new(WHOLE_BODY);
    let (copy, _sent) = Response::new(headers, Some(reader), end);
    let _ = copy.set_status_code(status);
    spawn_local(async move {
        loop {
            let (result, read) = from.read(Vec::with_capacity(4096)).await;
            let unsent = to.write_all(read).await;
            if !unsent.is_empty() {
                return;
            }
            if !matches!(result, StreamResult::Complete(_)) {
                break;
            }
        }
        drop((from, to));
        let _ = to_end.write(from_end.await).await;
    });
    copy
}
