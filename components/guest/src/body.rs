//! Reading a body.

use wasip3::http::types::{ErrorCode, Request};
use wasip3::wit_bindgen::StreamResult;
use wasip3::wit_future;

/// The number of bytes in one read.
const CHUNK: usize = 4096;

/// Returns the whole body of a request. A body that was cut short is an error.
pub async fn whole_body(request: Request) -> Result<Vec<u8>, ErrorCode> {
    let (_, accepted) = wit_future::new(|| Ok(()));
    let (mut from, end) = Request::consume_body(request, accepted);
    let mut body = Vec::new();
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let (result, mut read) = from.read(chunk).await;
        body.append(&mut read);
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
        chunk = read;
    }
    drop(from);
    end.await?;
    Ok(body)
}
