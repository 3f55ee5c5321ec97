//! Timeouts and limits of clients.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use headwater_core::{BodyError, Handler};
use http::Response;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::testing::{
    LONG, address, answer_with, each, get, get_h2, h1, h2, params, raw, route, start_with,
};
use crate::{Front, FrontParams, Router, Server, ServerParams};

const SHORT: Duration = Duration::from_millis(150);

/// Nothing ends by itself.
fn patient() -> ServerParams {
    let mut params = params();
    params.connection.keep_alive_timeout = LONG;
    params.connection.header_read_timeout = LONG;
    params.connection.send_timeout = LONG;
    params
}

/// Sends a head that does not end, and reads the answer.
async fn begin(address: SocketAddr) -> String {
    raw(address, b"GET / HTTP/1.1\r\nhost: x.exa").await
}

/// A body without an end; reports the scope's end.
fn endless() -> (Arc<dyn Handler>, mpsc::UnboundedReceiver<CancellationToken>) {
    let (seen, sees) = mpsc::unbounded_channel();
    let handler = each(move |request: http::Request<headwater_core::Body>, scope| {
        if request.uri().path() == "/endless" {
            seen.send(scope.cancellation().clone()).unwrap();
        }
        async move {
            if request.uri().path() != "/endless" {
                return Ok(Response::new(headwater_core::full("short")));
            }
            let more = stream::repeat_with(|| {
                Ok::<_, Infallible>(Frame::data(Bytes::from_static(&[0; 16 << 10])))
            });
            let body = StreamBody::new(more).map_err(|never| -> BodyError { match never {} });
            Ok(Response::new(UnsyncBoxBody::new(body)))
        }
    });
    (handler, sees)
}

#[tokio::test]
async fn c1_a_head_that_takes_too_long_is_408_and_idle_connections_may_stay_longer() {
    let mut params = patient();
    params.connection.header_read_timeout = SHORT;
    let server = start_with(params, [route("/...", answer_with("served"))]).await;
    let silent = TcpStream::connect(server.address).await.unwrap();
    let mut kept = h1(server.address).await;
    kept.send_request(get("/")).await.unwrap();

    let answer = begin(server.address).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}", body.len())));

    // Their timeout would be over, too.
    kept.ready().await.unwrap();
    assert_eq!(kept.send_request(get("/")).await.unwrap().status(), 200);
    let mut silent = silent;
    silent.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    silent.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("served"), "{answer}");
}

#[tokio::test]
async fn c1_a_body_that_outlasts_its_answer_is_not_taken_for_a_head() {
    let mut params = patient();
    params.connection.header_read_timeout = SHORT;
    let server = start_with(params, [route("/...", answer_with("served"))]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"POST / HTTP/1.1\r\nhost: x.example\r\ncontent-length: 4\r\n\r\na")
        .await
        .unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"served") {
        stream.read_buf(&mut received).await.unwrap();
    }
    stream.write_all(b"b").await.unwrap();
    begin(server.address).await;
    stream
        .write_all(b"cdGET / HTTP/1.1\r\nhost: x.example\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn c1_a_connection_without_requests_ends_when_its_time_is_over() {
    let mut params = patient();
    params.connection.keep_alive_timeout = SHORT;
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let handler = each(move |request: http::Request<headwater_core::Body>, _| {
        let release = Arc::clone(&released);
        async move {
            if request.uri().path() == "/slow" {
                release.notified().await;
            }
            Ok(Response::new(headwater_core::full("served")))
        }
    });
    let server = start_with(params, [route("/...", handler)]).await;

    let mut busy = h2(server.address).await;
    let slow = tokio::spawn(busy.send_request(get_h2("/slow")));
    // Silent from the start, and after a request.
    assert_eq!(raw(server.address, b"").await, "");
    let answer = raw(server.address, b"GET / HTTP/1.1\r\nhost: x.example\r\n\r\n").await;
    assert!(answer.ends_with("served"), "{answer}");
    // In HTTP/2, after its last stream.
    let mut idle = h2(server.address).await;
    idle.send_request(get_h2("/")).await.unwrap();
    while !idle.is_closed() {
        tokio::task::yield_now().await;
    }
    assert!(!slow.is_finished());
    release.notify_one();
    assert_eq!(slow.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn c1_a_client_that_reads_nothing_loses_its_connection() {
    let mut params = patient();
    params.connection.send_timeout = SHORT;
    let (handler, mut sees) = endless();
    let server = start_with(params, [route("/...", handler)]).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream
        .write_all(b"GET /endless HTTP/1.1\r\nhost: x.example\r\n\r\n")
        .await
        .unwrap();
    sees.recv().await.unwrap().cancelled().await;
    drop(stream);
}

#[tokio::test]
async fn c1_a_stream_that_is_not_read_is_reset_and_the_others_go_on() {
    let mut params = patient();
    params.connection.send_timeout = SHORT;
    let (handler, mut sees) = endless();
    let server = start_with(params, [route("/...", handler)]).await;
    let mut client = h2(server.address).await;
    let unread = client.send_request(get_h2("/endless")).await.unwrap();
    sees.recv().await.unwrap().cancelled().await;
    let other = client.send_request(get_h2("/")).await.unwrap();
    let body = other.into_body().collect().await.unwrap();
    assert_eq!(body.to_bytes(), "short");
    assert!(unread.into_body().collect().await.is_err());
}

#[tokio::test]
async fn a_large_body_arrives_whole_over_http_2() {
    let handler = each(|_, _| async {
        let bytes: Vec<u8> = (0..1_000_003_u32).flat_map(u32::to_le_bytes).collect();
        Ok(Response::new(headwater_core::full(bytes)))
    });
    let server = start_with(patient(), [route("/...", handler)]).await;
    let answer = h2(server.address)
        .await
        .send_request(get_h2("/"))
        .await
        .unwrap();
    assert_eq!(answer.headers()["content-length"], "4000012");
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body.chunks(4).eq((0..1_000_003_u32).map(u32::to_le_bytes)));
}

#[tokio::test]
async fn c3_connections_beyond_the_limit_are_told_so_at_once() {
    let mut params = patient();
    params.limits.max_connections = 2;
    let server = Server::bind(params).await.unwrap();
    let (address, counts) = (address(&server), server.connections());
    let front = Front::new(
        FrontParams::default(),
        Router::new([route("/...", answer_with("served"))]).unwrap(),
    );
    tokio::spawn(server.serve(front, CancellationToken::new()));
    let mut one = h1(address).await;
    let mut two = h1(address).await;
    for client in [&mut one, &mut two] {
        assert_eq!(client.send_request(get("/")).await.unwrap().status(), 200);
    }
    let answer = raw(address, b"GET / HTTP/1.1\r\nhost: x.example\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("connection: close"));
    assert!(head.contains(&format!("content-length: {}", body.len())));
    let counted = counts.total();
    assert_eq!((counted.open, counted.accepted, counted.refused), (2, 2, 1));
    assert_eq!(counts.limit(), 2);

    drop(one);
    while counts.total().open > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        h1(address)
            .await
            .send_request(get("/"))
            .await
            .unwrap()
            .status(),
        200
    );
    assert_eq!(counts.by_listener().count(), 1);
}
