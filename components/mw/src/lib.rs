//! A middleware that awaits the next handler and returns its response unchanged.

use guest::{ErrorCode, Request, Response};

struct Middleware;

impl wasip3::exports::http::handler::Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        next::next(request).await
    }
}

wasip3::http::service::export!(Middleware);
