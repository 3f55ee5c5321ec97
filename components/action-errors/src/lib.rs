//! An action component with the hook `on-error` alone. It answers 503 and says what it saw of the fault, unless
//! the query of the request has
//!
//! - `on-error=leave`: it leaves the fault as it is
//! - `on-error=trap`, `on-error=status`: it traps, or answers with the status 42

mod bindings {
    wit_bindgen::generate!({ path: "../../wit/headwater-middleware", world: "error-handler" });
}

use bindings::exports::headwater::middleware::on_error::{
    Blame, Fault, Guest, Header, Request, Response,
};

struct Hooks;

impl Guest for Hooks {
    fn on_error(request: Request, fault: Fault) -> Option<Response> {
        let has = |what: &str| request.query.contains(&format!("on-error={what}"));
        if has("leave") {
            return None;
        }
        assert!(!has("trap"), "the hook traps");
        let blame = match fault.blame {
            Blame::Guest => "guest",
            Blame::Upstream => "upstream",
            Blame::Host => "host",
            Blame::Overload => "overload",
        };
        let body = format!(
            "{} {}: {} {blame} {} ({}) by {:?}, reached: {}\n",
            request.method,
            request.path,
            fault.status,
            fault.kind,
            fault.summary,
            fault.middleware,
            fault.service_reached
        );
        Some(Response {
            status: if has("status") { 42 } else { 503 },
            headers: vec![Header {
                name: "x-handled".to_owned(),
                value: request.request_id,
            }],
            body: body.into_bytes(),
        })
    }
}

bindings::export!(Hooks with_types_in bindings);
