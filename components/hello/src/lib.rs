//! The smallest `wasi:http/service`: one answer to every request. It shows the cost of the host
//! itself.

use guest::{ErrorCode, Request, Response, text};

struct Hello;

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(_request: Request) -> Result<Response, ErrorCode> {
        Ok(text(200, "Hello from Headwater!\n"))
    }
}

wasip3::http::service::export!(Hello);
