//! A middleware that does what the query says, also what none should. `gate=…`, or the parameter that the
//! variable `GATE` names:
//!
//! - `pass` (the default): calls the next handler with the request, and returns its response with the field
//!   `x-gate` added, whose value is the variable `GATE_NAME`
//! - `deny`: answers 401 itself
//! - `twice`: calls the next handler twice, with requests of its own, and returns the second response
//! - `call&to=URL`: makes an outgoing request, then passes the request on
//! - `error`: returns the error `HTTP-request-denied`
//! - `trap`, `read-trap`, `late-trap`: traps at once, after it read of the body, after the next handler answered
//! - `hang`: never answers; `hang-late`: neither, after the next handler answered
//! - `half`: returns half of the next handler's body, and does not finish its own
//! - `length`: declares another length than its body has
//! - `headers`: sets 9,999 header fields, and traps if it cannot
//! - `status`, `forbidden`: sets the status 42, or the field `connection`, and traps if it cannot
//!
//! Before that it sets a value of the request's context with `set=NAME:VALUE`; if it may not, it answers 500 with
//! the error.

use guest::{Call, ErrorCode, Fields, Query, Request, Response, WHOLE_BODY, text, wait};
use wasip3::{spawn_local, wit_future, wit_stream};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit/headwater-request", world: "imports" });
}

use bindings::headwater::request::context;

struct Gate;

impl wasip3::exports::http::handler::Guest for Gate {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        if let Some((name, value)) = query.get("set").and_then(|set| set.split_once(':'))
            && let Err(error) = context::set(name, Some(value))
        {
            return Ok(text(500, format!("{error:?}\n")));
        }
        let parameter = std::env::var("GATE").unwrap_or_else(|_| "gate".to_owned());
        match query.get(&parameter).unwrap_or("pass") {
            "deny" => Ok(text(401, "denied\n")),
            "twice" => {
                let (first, second) = (next::again(&request), next::again(&request));
                drop(next::next(first).await?);
                next::next(second).await
            }
            "call" => {
                let call = Call::to(&query, &request).expect("an upstream is named");
                let _ = call.make(0).await;
                next::next(request).await
            }
            "error" => Err(ErrorCode::HttpRequestDenied),
            "trap" => panic!("the gate traps"),
            "read-trap" => {
                let _ = guest::whole_body(request).await;
                panic!("the gate has read, and traps");
            }
            "late-trap" => {
                let _ = next::next(request).await;
                panic!("the gate has called the next handler, and traps");
            }
            "hang" => forever().await,
            "hang-late" => {
                let _answered = next::next(request).await;
                forever().await
            }
            "half" => next::next(request).await.map(half),
            "length" => Ok(with_headers(&[("content-length", "5")])),
            "headers" => {
                let many = vec![("x-many", "1"); 9_999];
                Ok(with_headers(&many))
            }
            "status" => {
                let response = text(200, "");
                response.set_status_code(42).expect("the status is valid");
                Ok(response)
            }
            "forbidden" => Ok(with_headers(&[("connection", "close")])),
            _ => next::next(request).await.map(marked),
        }
    }
}

wasip3::http::service::export!(Gate);

/// Waits for a day. A task that waits for nothing traps.
async fn forever() -> Result<Response, ErrorCode> {
    wait(86_400_000).await;
    Err(ErrorCode::HttpResponseTimeout)
}

/// Returns the response with `x-gate` added. Its body does not go through this component.
fn marked(response: Response) -> Response {
    let headers = response.get_headers().clone();
    let name = std::env::var("GATE_NAME").unwrap_or_else(|_| "gate".to_owned());
    // The host may reject the field.
    let _ = headers.append("x-gate", name.as_bytes());
    let status = response.get_status_code();
    let (_, accepted) = wit_future::new(|| Ok(()));
    let (body, end) = Response::consume_body(response, accepted);
    let (marked, _sent) = Response::new(headers, Some(body), end);
    let _ = marked.set_status_code(status);
    marked
}

/// Returns an answer with these header fields, and the body `four`.
fn with_headers(fields: &[(&str, &str)]) -> Response {
    let headers = Fields::new();
    for (name, value) in fields {
        headers
            .append(name, value.as_bytes())
            .expect("the field is allowed");
    }
    let (mut writer, reader) = wit_stream::new();
    let (_, end) = wit_future::new(WHOLE_BODY);
    let (response, _sent) = Response::new(headers, Some(reader), end);
    spawn_local(async move {
        writer.write_all(b"four".to_vec()).await;
    });
    response
}

/// Returns the first half of a response's body, whose end never comes.
fn half(response: Response) -> Response {
    let headers = Fields::new();
    let length = response.get_headers().get("content-length");
    let _ = headers.set("content-length", &length);
    let (_, accepted) = wit_future::new(|| Ok(()));
    let (mut from, _end) = Response::consume_body(response, accepted);
    let (mut to, reader) = wit_stream::new();
    let (_, end) = wit_future::new(WHOLE_BODY);
    let (half, _sent) = Response::new(headers, Some(reader), end);
    spawn_local(async move {
        let (_, read) = from.read(Vec::with_capacity(4096)).await;
        let some = read[..read.len() / 2].to_vec();
        to.write_all(some).await;
    });
    half
}
