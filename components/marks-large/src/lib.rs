//! A `wasi:http/service` that searches its memory for marks of others (see `marking`), with a large
//! image.

use guest::{ErrorCode, Request, Response, text, wait};

struct Marks;

impl wasip3::exports::http::handler::Guest for Marks {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let (answer, milliseconds) = marking::regions!(marking::LARGE).visit(&target);
        wait(milliseconds).await;
        Ok(text(200, answer))
    }
}

wasip3::http::service::export!(Marks);
