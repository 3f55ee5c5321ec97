//! A `wasi:http/proxy@0.2` component that searches its memory for marks of others (see `marking`),
//! with a large image.

use wstd::http::{Body, Error, Request, Response};
use wstd::{task, time::Duration};

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let target = request.uri().to_string();
    let (answer, milliseconds) = marking::regions!(marking::LARGE).visit(&target);
    task::sleep(Duration::from_millis(milliseconds)).await;
    Ok(Response::new(answer.into()))
}
