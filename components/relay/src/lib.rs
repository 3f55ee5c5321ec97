//! Passes each request on unchanged, including its body, and its answer back: a minimal proxy.
//!
//! `ANY /...?to=http://HOST:PORT`, with path and query unchanged, so that a request can pass
//! through several relays.

use guest::{ErrorCode, Query, Request, Response, text};
use wasip3::http::{client, types::Scheme};

struct Relay;

impl wasip3::exports::http::handler::Guest for Relay {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let query = Query::of(&request);
        let (scheme, authority) = match query.get("to").and_then(|to| to.split_once("://")) {
            Some(("http", authority)) => (Scheme::Http, authority),
            Some(("https", authority)) => (Scheme::Https, authority),
            _ => return Ok(text(400, "which upstream? add ?to=http://HOST:PORT\n")),
        };
        let set = request
            .set_scheme(Some(&scheme))
            .and(request.set_authority(Some(authority)));
        if set.is_err() {
            return Ok(text(400, format!("{authority} is no valid target\n")));
        }
        Ok(match client::send(request).await {
            Ok(response) => response,
            Err(problem) => text(502, format!("{problem}\n")),
        })
    }
}

wasip3::http::service::export!(Relay);
