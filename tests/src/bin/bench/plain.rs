//! The server to compare with: the least that can be done with hyper, one fixed answer.

use std::convert::Infallible;
use std::process::ExitCode;

use anyhow::Result;
use bytes::Bytes;
use http::Response;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

pub(crate) async fn serve() -> Result<ExitCode> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("Listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let hello = service_fn(async |_| {
                let body = Full::new(Bytes::from_static(b"Hello from hyper!\n"));
                Ok::<_, Infallible>(Response::new(body))
            });
            // A client that goes away is its own affair.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), hello)
                .await;
        });
    }
}
