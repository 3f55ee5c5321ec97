//! A `wasi:http/proxy@0.2` component that prints a line on stderr in pieces with waits in between,
//! a whole line on stdout, and a line on stderr without an end. Each begins with the request's
//! `x-tag`.

use std::io::Write;

use wstd::http::{Body, Error, Request, Response};
use wstd::time::Duration;

#[wstd::http_server]
async fn main(request: Request<Body>) -> Result<Response<Body>, Error> {
    let tag = request.headers().get("x-tag");
    let tag = tag.and_then(|tag| tag.to_str().ok()).unwrap_or_default();
    let mut stderr = std::io::stderr();
    stderr.write_all(tag.as_bytes())?;
    for i in 0..3 {
        wstd::task::sleep(Duration::from_millis(1)).await;
        stderr.write_all(format!(" {i}").as_bytes())?;
    }
    stderr.write_all(b" end\n")?;
    println!("{tag} line 0 of 1");
    stderr.write_all(format!("{tag} and no end").as_bytes())?;
    Ok(Response::builder()
        .header("content-type", "text/plain")
        .body(format!("{tag}: printed\n").into())?)
}
