//! A request body that the guest reports as failed: `/refuse-body`, `/refuse-body-and-answer`.

use crate::forever;
use guest::{ErrorCode, Request, Response, text};
use wasip3::wit_future;

/// Reports the failure, and never answers.
pub async fn refuse_and_wait(request: Request) -> Result<Response, ErrorCode> {
    refuse(request).await;
    forever().await
}

/// Reports the failure, and answers at once.
pub async fn refuse_and_answer(request: Request) -> Response {
    refuse(request).await;
    text(422, "refused\n")
}

async fn refuse(request: Request) {
    let (result, read) = wit_future::new(|| Ok(()));
    let (_contents, _trailers) = Request::consume_body(request, read);
    let refused = ErrorCode::InternalError(Some("deliberate error about the body".to_owned()));
    let _ = result.write(Err(refused)).await;
}
