//! The server to compare with: the minimum with hyper, one fixed answer of the same text and type
//! as Headwater's.

use std::convert::Infallible;
use std::process::ExitCode;

use anyhow::Result;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The body of the answer, here and in Headwater.
pub(crate) const BODY: &str = "Hello from the front!\n";

pub(crate) async fn serve() -> Result<ExitCode> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let hello = service_fn(async |_| {
                let mut answer = Response::new(Full::new(Bytes::from_static(BODY.as_bytes())));
                let plain = HeaderValue::from_static("text/plain");
                answer.headers_mut().insert(CONTENT_TYPE, plain);
                Ok::<_, Infallible>(answer)
            });
            // A client may leave at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}
