//! An action component with both hooks of the Shepherd Model Gateway. It tells the host what to do with a
//! request and its response, also what none should.
//!
//! `on-request` rejects with 401 if the variable `KEY` is set and the header field `x-key` has another value, and
//! with 429 if the variable `RATE` is set and this instance has been called so often before. Then, by the
//! parameter `on-request`:
//!
//! - `tag` (the default): adds `x-tagged: METHOD PATH?QUERY #LENGTH-OF-BODY`, sets `x-id`, and removes `x-remove`
//! - `pass`: `continue`
//! - `replace`: replaces the body by itself in upper case
//! - `reject`: rejects with the status in the parameter `status`
//! - `trap`, `hang`: traps, or loops for ever
//! - `name`, `value`, `forbidden`, `host`, `length`, `many`: a header field that is none, a value with a line end,
//!   `connection`, `host`, another `content-length`, 9,999 fields
//!
//! `on-response` does what the header field `x-on-response` of the response says, or else the variable
//! `ON_RESPONSE`:
//!
//! - `tag` (the default): adds `x-answered: STATUS #LENGTH-OF-BODY`
//! - `replace`: replaces the body by itself in upper case, and the status by 203
//! - `reject`: rejects with 502; `status`: changes the status to 42; `trap`: traps

use std::sync::atomic::{AtomicU64, Ordering};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit/smg-gateway", world: "middleware" });
}

use bindings::exports::smg::gateway::{middleware_on_request, middleware_on_response};
use bindings::smg::gateway::middleware_types::{Action, Header, ModifyAction, Request, Response};

struct Hooks;

static CALLS: AtomicU64 = AtomicU64::new(0);

impl middleware_on_request::Guest for Hooks {
    fn on_request(request: Request) -> Action {
        let calls = CALLS.fetch_add(1, Ordering::Relaxed);
        let header = |name: &str| request.headers.iter().find(|header| header.name == name);
        if let Ok(key) = std::env::var("KEY")
            && header("x-key").is_none_or(|header| header.value != key)
        {
            return Action::Reject(401);
        }
        if let Ok(rate) = std::env::var("RATE")
            && rate.parse().is_ok_and(|rate: u64| calls >= rate)
        {
            return Action::Reject(429);
        }
        let query: Vec<(String, String)> = form_urlencoded::parse(request.query.as_bytes())
            .into_owned()
            .collect();
        let parameter = |name: &str| {
            let found = query.iter().find(|(it, _)| it == name);
            found.map(|(_, value)| value.as_str())
        };
        let set = |name: &str, value: &str| {
            Action::Modify(ModifyAction {
                headers_set: vec![field(name, value)],
                ..nothing()
            })
        };
        match parameter("on-request").unwrap_or("tag") {
            "pass" => Action::Continue,
            "replace" => Action::Modify(ModifyAction {
                body_replace: Some(request.body.to_ascii_uppercase()),
                ..nothing()
            }),
            "reject" => {
                let status = parameter("status").and_then(|status| status.parse().ok());
                Action::Reject(status.unwrap_or(403))
            }
            "trap" => panic!("the hook traps"),
            "hang" => loop {
                std::hint::spin_loop();
            },
            "name" => set("x y", "1"),
            "value" => set("x-y", "1\r\nx-z: 2"),
            "forbidden" => set("connection", "close"),
            "host" => set("host", "other.example"),
            "length" => set("content-length", "5000"),
            "many" => Action::Modify(ModifyAction {
                headers_add: vec![field("x-many", "1"); 9_999],
                ..nothing()
            }),
            _ => {
                let tag = format!(
                    "{} {}?{} #{}",
                    request.method,
                    request.path,
                    request.query,
                    request.body.len()
                );
                assert!(request.now_epoch_ms > 1_700_000_000_000, "it is now");
                Action::Modify(ModifyAction {
                    headers_set: vec![field("x-id", &request.request_id)],
                    headers_add: vec![field("x-tagged", &tag)],
                    headers_remove: vec!["x-remove".to_owned()],
                    ..nothing()
                })
            }
        }
    }
}

impl middleware_on_response::Guest for Hooks {
    fn on_response(response: Response) -> Action {
        let told = response
            .headers
            .iter()
            .find(|header| header.name == "x-on-response");
        let told = told.map(|header| header.value.clone());
        let told = told.or_else(|| std::env::var("ON_RESPONSE").ok());
        match told.as_deref().unwrap_or("tag") {
            "replace" => Action::Modify(ModifyAction {
                status: Some(203),
                body_replace: Some(response.body.to_ascii_uppercase()),
                ..nothing()
            }),
            "reject" => Action::Reject(502),
            "status" => Action::Modify(ModifyAction {
                status: Some(42),
                ..nothing()
            }),
            "trap" => panic!("the hook traps"),
            _ => {
                let tag = format!("{} #{}", response.status, response.body.len());
                Action::Modify(ModifyAction {
                    headers_add: vec![field("x-answered", &tag)],
                    ..nothing()
                })
            }
        }
    }
}

bindings::export!(Hooks with_types_in bindings);

fn field(name: &str, value: &str) -> Header {
    Header {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn nothing() -> ModifyAction {
    ModifyAction {
        status: None,
        headers_set: Vec::new(),
        headers_add: Vec::new(),
        headers_remove: Vec::new(),
        body_replace: None,
    }
}
