//! Answers with the values of the request's context. Each answer of the host is a line: a value in quotes,
//! `none`, `ok`, or the name of an error.
//!
//! - `GET /`: a line `NAME=VALUE` for each value that it may read
//! - `GET /get?name=N`: the value
//! - `GET /set?name=N&value=V`: sets the value, or removes it if there is no `value`, and then as `/`
//! - `GET /fill?n=33&size=1`: sets values `n0`, `n1`, …, each of `size` bytes, and answers with the first error
//! - `GET /early`: what a call got while the component was instantiated
//! - `GET /later?name=N&wait=20`: the value, by a task that waited for so many milliseconds
//! - `GET /call?to=URL`: makes an outgoing request that has a field `x-user` of its own
//! - `GET /give?name=N`: leaves a call to another request of the instance, waits until that has made it, and
//!   answers with its result; `GET /take`: makes the call that another request has left

use std::cell::RefCell;
use std::sync::OnceLock;

use futures::channel::oneshot;
use guest::{Call, ErrorCode, Query, Request, Response, text, wait};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit/headwater-request", world: "imports" });
}

use bindings::headwater::request::context;

struct Context;

/// A call that a request left to another.
struct Left {
    name: String,
    result: oneshot::Sender<String>,
}

thread_local! {
    static LEFT: RefCell<Vec<Left>> = const { RefCell::new(Vec::new()) };
}

static EARLY: OnceLock<String> = OnceLock::new();

/// Runs when the component is instantiated.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    let _ = EARLY.set(get("user"));
}

impl wasip3::exports::http::handler::Guest for Context {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let name = query.get("name").unwrap_or("user").to_owned();
        let what = query.path.rsplit('/').next().unwrap_or_default();
        let answer = match what {
            "get" => get(&name),
            "set" => match context::set(&name, query.get("value")) {
                Ok(()) => list(),
                Err(error) => told(error),
            },
            "fill" => fill(&query),
            "early" => EARLY.get().cloned().unwrap_or_default(),
            "later" => {
                wait(query.number("wait", 20)).await;
                get(&name)
            }
            "call" => match Call::to(&query, &request) {
                Ok(call) => {
                    let call = call.with_header("x-user", b"forged".to_vec());
                    call.make(0)
                        .await
                        .map_or_else(|error| error, |()| "called".to_owned())
                }
                Err(error) => error,
            },
            "give" => {
                let (result, given) = oneshot::channel();
                LEFT.with_borrow_mut(|left| left.push(Left { name, result }));
                given.await.unwrap_or_else(|_| "lost".to_owned())
            }
            "take" => {
                let left = loop {
                    match LEFT.with_borrow_mut(Vec::pop) {
                        Some(left) => break left,
                        None => wait(1).await,
                    }
                };
                let _ = left.result.send(get(&left.name));
                "taken".to_owned()
            }
            _ => list(),
        };
        Ok(text(200, format!("{answer}\n")))
    }
}

wasip3::http::service::export!(Context);

fn get(name: &str) -> String {
    match context::get(name) {
        Ok(Some(value)) => format!("{value:?}"),
        Ok(None) => "none".to_owned(),
        Err(error) => told(error),
    }
}

fn list() -> String {
    match context::list() {
        Ok(values) => {
            let lines = values.iter().map(|(name, value)| format!("{name}={value}"));
            lines.collect::<Vec<_>>().join("\n")
        }
        Err(error) => told(error),
    }
}

fn fill(query: &Query) -> String {
    let size = usize::try_from(query.number("size", 1)).unwrap_or_default();
    let value = "x".repeat(size);
    for number in 0..query.number("n", 33) {
        if let Err(error) = context::set(&format!("n{number}"), Some(&value)) {
            return format!("{number}: {}", told(error));
        }
    }
    "all".to_owned()
}

fn told(error: context::Error) -> String {
    match error {
        context::Error::UnknownRequest => "unknown-request",
        context::Error::Denied => "denied",
        context::Error::InvalidName => "invalid-name",
        context::Error::InvalidValue => "invalid-value",
        context::Error::TooLarge => "too-large",
        context::Error::TooMany => "too-many",
    }
    .to_owned()
}
