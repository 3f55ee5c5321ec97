//! A middleware that calls the next handler by the canonical ABI, as no bindings do: without
//! waiting for it.
//!
//! If the next handler has returned by the time that the call returns, its response is returned;
//! else one of this component's own, and this task ends before the call has returned. That is
//! allowed, and wasmtime 48 traps the whole instance for it when the callee does return.

use guest::{ErrorCode, Request, Response, text};

struct Middleware;

impl wasip3::exports::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        Ok(next::start(request).unwrap_or_else(|| text(200, "left alone\n")))
    }
}

wasip3::http::service::export!(Middleware);
