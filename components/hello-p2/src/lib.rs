//! The smallest `wasi:http/proxy@0.2`: one answer to every request. It shows the cost of a fresh
//! instance for each request.

use wstd::http::{Body, Error, Request, Response};

#[wstd::http_server]
async fn main(_request: Request<Body>) -> Result<Response<Body>, Error> {
    Ok(Response::builder()
        .header("content-type", "text/plain")
        .body("Hello from Headwater!\n".into())?)
}
