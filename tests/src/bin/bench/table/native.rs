//! What the guests of the table do, as a native program: plain hyper, without a guest or limits. It
//! is also the upstream of outgoing requests and the collector of traces.

use std::convert::Infallible;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures::StreamExt;
use futures::future::try_join_all;
use headwater_tests::client::{self, Body, Client};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpListener;

/// The text of the guest `hello`.
const HELLO: &str = "Hello from Headwater!\n";
/// The length of the chunks of a long body: that of the guest `stream`.
static CHUNK: [u8; 251 * 256] = [b'x'; 251 * 256];

/// Serves on the port that the second argument names.
pub(crate) async fn serve() -> Result<ExitCode> {
    let port = std::env::args().nth(2).context("which port?")?.parse()?;
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    let client = Client::new();
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let client = client.clone();
        tokio::spawn(async move {
            let service = service_fn(async |request| {
                let answer = answer(&client, request).await;
                let answer = answer.unwrap_or_else(|error| {
                    let text = format!("{error:#}\n").into_bytes();
                    let mut answer = with_type("text/plain", client::full(text));
                    *answer.status_mut() = StatusCode::BAD_GATEWAY;
                    answer
                });
                Ok::<_, Infallible>(answer)
            });
            // A client may leave at any time.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn answer(client: &Client, request: Request<Incoming>) -> Result<Response<Body>> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    match request.uri().path() {
        "/bytes" => bytes(number(&query, "n")?),
        "/count" => {
            let mut body = request.into_body();
            let mut length = 0;
            while let Some(frame) = body.frame().await {
                length += frame?.data_ref().map_or(0, Bytes::len);
            }
            Ok(with_type(
                "text/plain",
                client::full(format!("{length}\n").into_bytes()),
            ))
        }
        "/json" => {
            let body = request.into_body().collect().await?.to_bytes();
            let document: Value = serde_json::from_slice(&body)?;
            let body = client::full(serde_json::to_vec(&document)?);
            Ok(with_type("application/json", body))
        }
        "/fanout" => fanout(client, &query).await,
        "/v1/traces" | "/v1/metrics" => {
            request.into_body().collect().await?;
            // An empty message of protobuf: everything was accepted.
            Ok(with_type("application/x-protobuf", client::empty()))
        }
        _ => Ok(with_type("text/plain", client::full(HELLO))),
    }
}

/// Makes `k` outgoing requests at once.
async fn fanout(client: &Client, query: &str) -> Result<Response<Body>> {
    let to = parameter(query, "to").context("to which server?")?;
    let calls = number(query, "k")?;
    let answers = (0..calls).map(async |i| {
        let answer = client.get(&format!("{to}/call/{i}")).await?;
        ensure!(
            answer.status == 200,
            "the upstream answered {}",
            answer.status
        );
        anyhow::Ok(())
    });
    let answers = try_join_all(answers).await?.len();
    let text = format!(": {answers} of {calls} answered\n").into_bytes();
    Ok(with_type("text/plain", client::full(text)))
}

/// Answers with this many bytes, without announcing the length.
fn bytes(length: usize) -> Result<Response<Body>> {
    let chunks = (0..length).step_by(CHUNK.len()).map(move |from| {
        let chunk = &CHUNK[..CHUNK.len().min(length - from)];
        Ok(Frame::data(Bytes::from_static(chunk)))
    });
    // One after another, with a turn for others in between.
    let body = StreamBody::new(futures::stream::iter(chunks).boxed());
    Ok(with_type("application/octet-stream", body.boxed_unsync()))
}

fn with_type(kind: &'static str, body: Body) -> Response<Body> {
    let mut answer = Response::new(body);
    let kind = HeaderValue::from_static(kind);
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(of, _)| *of == name).map(|(_, value)| value)
}

fn number(query: &str, name: &str) -> Result<usize> {
    let value = parameter(query, name).with_context(|| format!("{name} is missing"))?;
    value
        .parse()
        .with_context(|| format!("{name} is no number"))
}
