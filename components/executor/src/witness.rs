//! How the work names the request that it is done for. The parameter `witness`:
//!
//! - `none`: it does not.
//! - `token`: by a token, entered around each poll.
//! - `echo`, `echo-id`: its calls carry the request's `traceparent`, or its `x-request-id`.
//! - `token-echo`: both.
//! - `clash`: by a token of this request, and by the `traceparent` of another.
//! - `torn`: by the `traceparent` of this request and the `x-request-id` of another.
//! - `lie`: by the `traceparent` of another request.
//! - `given`: by the `x-request-id` that the client sent as `x-echo`.
//!
//! The other request is the oldest one in the instance.

use std::cell::RefCell;

use guest::{Call, Query, Request};
use headwater_attribution::Scope;

const TRACEPARENT: &str = "traceparent";
const REQUEST_ID: &str = "x-request-id";

/// The two headers that name a request.
#[derive(Clone, PartialEq)]
pub struct Names {
    traceparent: Vec<u8>,
    request_id: Vec<u8>,
}

thread_local! {
    static PRESENT: RefCell<Vec<Names>> = const { RefCell::new(Vec::new()) };
}

/// While it lives, others may name this request.
pub struct Present(Names);

impl Present {
    pub fn enter(request: &Request) -> Self {
        let names = Names {
            traceparent: header(request, TRACEPARENT),
            request_id: header(request, REQUEST_ID),
        };
        PRESENT.with_borrow_mut(|present| present.push(names.clone()));
        Self(names)
    }

    /// Returns another request in this instance.
    fn other(&self) -> Result<Names, String> {
        PRESENT.with_borrow(|present| {
            let other = present.iter().find(|names| **names != self.0);
            other.cloned().ok_or_else(|| "no other request".to_owned())
        })
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        PRESENT.with_borrow_mut(|present| present.retain(|names| *names != self.0));
    }
}

/// The selected witness.
#[derive(Clone)]
pub struct Witness {
    scope: Option<Scope>,
    headers: Vec<(&'static str, Vec<u8>)>,
}

impl Witness {
    /// Reads the parameter. This takes the token, so it must be called at the beginning of the
    /// handler.
    pub fn asked_for(query: &Query, request: &Request, present: &Present) -> Result<Self, String> {
        let token = || Scope::current().ok_or_else(|| "no token".to_owned());
        let own = || present.0.clone();
        let asked = query.get("witness").unwrap_or("none");
        let scope = match asked {
            "token" | "token-echo" | "clash" => Some(token()?),
            _ => None,
        };
        let headers = match asked {
            "none" | "token" => vec![],
            "echo" | "token-echo" => vec![(TRACEPARENT, own().traceparent)],
            "echo-id" => vec![(REQUEST_ID, own().request_id)],
            "clash" | "lie" => vec![(TRACEPARENT, present.other()?.traceparent)],
            "torn" => vec![
                (TRACEPARENT, own().traceparent),
                (REQUEST_ID, present.other()?.request_id),
            ],
            "given" => vec![(REQUEST_ID, header(request, "x-echo"))],
            other => return Err(format!("there is no witness {other}")),
        };
        Ok(Self { scope, headers })
    }

    /// Adds the headers that name the request to a call.
    pub fn mark(&self, call: Call) -> Call {
        let headers = self.headers.iter();
        headers.fold(call, |call, (name, value)| {
            call.with_header(name, value.clone())
        })
    }

    /// Makes the work run under the token.
    pub fn wrap<F: Future>(&self, work: F) -> headwater_attribution::InScope<F> {
        Scope::wrap(self.scope.clone(), work)
    }
}

pub fn header(request: &Request, name: &str) -> Vec<u8> {
    let values = request.get_headers().get(name);
    values.into_iter().next().unwrap_or_default()
}
