//! Makes a call while it is instantiated, before any request has reached it: the host cannot know
//! which request that is for, and must not guess. The upstream is `host:port` in the environment
//! variable `UPSTREAM`.
//!
//! Answers `early call: sent, token: none\n`, or the actual results of the two.

use std::sync::OnceLock;

use guest::{ErrorCode, Request, Response, text};
use headwater_attribution::Scope;
use wasip2::cli::environment::get_environment;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};

static EARLY: OnceLock<String> = OnceLock::new();

/// Runs when the component is instantiated.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    let token = Scope::current();
    let token_is_there = token.is_some();
    let call = call().unwrap_or("failed");
    let token = if token_is_there { "one" } else { "none" };
    let _ = EARLY.set(format!("early call: {call}, token: {token}\n"));
}

/// Sends `GET /call/early` without waiting for the answer.
fn call() -> Option<&'static str> {
    let environment = get_environment();
    let (_, upstream) = environment.iter().find(|(name, _)| name == "UPSTREAM")?;
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&Scheme::Http)).ok()?;
    request.set_authority(Some(upstream)).ok()?;
    request.set_path_with_query(Some("/call/early")).ok()?;
    let response = outgoing_handler::handle(request, None).ok()?;
    // Dropping it would cancel the request.
    std::mem::forget(response);
    Some("sent")
}

struct Early;

impl wasip3::exports::http::handler::Guest for Early {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        let early = EARLY.get().map_or("nothing was called\n", String::as_str);
        Ok(text(200, early))
    }
}

wasip3::http::service::export!(Early);
