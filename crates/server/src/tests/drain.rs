//! C10: no request that reached an open connection is lost.

use std::io::{Read, Write};
use std::time::Duration;

use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::testing::{
    LONG, address, answer_with, get, get_h2, h1, h2, params, raw, route, start_with,
};
use crate::{Front, FrontParams, Router, ServeOutcome, Server};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x.example\r\n\r\n";

#[tokio::test]
async fn c10_a_request_that_is_on_its_way_when_the_signal_comes_is_answered() {
    let mut params = params();
    params.drain.idle_grace = LONG;
    let server = start_with(params, [route("/...", answer_with("served"))]).await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    kept.write_all(REQUEST).await.unwrap();
    let mut first = [0; 512];
    let length = kept.read(&mut first).await.unwrap();
    assert!(!String::from_utf8_lossy(&first[..length]).contains("connection: close"));
    let mut fresh = TcpStream::connect(server.address).await.unwrap();

    server.shutdown.cancel();
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    for stream in [&mut kept, &mut fresh] {
        stream.write_all(REQUEST).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.ends_with("served"), "{answer}");
    }
    assert_eq!(server.outcome.await.unwrap(), ServeOutcome::Drained);
}

#[tokio::test]
async fn c10_what_waits_to_be_accepted_is_served_before_the_listener_closes() {
    let mut params = params();
    params.drain.idle_grace = LONG;
    let server = Server::bind(params).await.unwrap();
    let mut waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(address(&server)).unwrap();
            stream.write_all(REQUEST).unwrap();
            stream
        })
        .collect();
    let front = Front::new(
        FrontParams::default(),
        Router::new([route("/...", answer_with("served"))]).unwrap(),
    );
    let shutdown = CancellationToken::new();
    // Before the server accepts the first of them.
    shutdown.cancel();
    assert_eq!(server.serve(front, shutdown).await, ServeOutcome::Drained);
    for stream in &mut waiting {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.ends_with("served"), "{answer}");
    }
}

#[tokio::test]
async fn c10_during_the_delay_everything_goes_on_as_before() {
    let mut params = params();
    params.drain.delay = Duration::from_secs(1);
    let server = start_with(params, [route("/...", answer_with("served"))]).await;
    let mut kept = h2(server.address).await;
    server.shutdown.cancel();
    tokio::task::yield_now().await;
    let answer = kept.send_request(get_h2("/")).await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "served"
    );
    let answer = h1(server.address)
        .await
        .send_request(get("/"))
        .await
        .unwrap();
    assert!(!answer.headers().contains_key("connection"));
    // GOAWAY tells it to go, at once.
    assert_eq!(server.outcome.await.unwrap(), ServeOutcome::Drained);
    assert!(kept.send_request(get_h2("/")).await.is_err());
}

#[tokio::test]
async fn c10_idle_connections_end_with_the_grace() {
    let server = start_with(params(), [route("/...", answer_with("served"))]).await;
    let mut one = h1(server.address).await;
    one.send_request(get("/")).await.unwrap();
    let silent = tokio::spawn(raw(server.address, b""));
    let begun = tokio::spawn(raw(server.address, b"GET / HT"));
    // The earlier ones were accepted by the time that this one is answered.
    let mut last = h1(server.address).await;
    last.send_request(get("/")).await.unwrap();
    server.shutdown.cancel();
    assert_eq!(server.outcome.await.unwrap(), ServeOutcome::Drained);
    assert_eq!(silent.await.unwrap(), "");
    // The client may then send another request (RFC 9110 15.5.9).
    let begun = begun.await.unwrap();
    assert!(begun.starts_with("HTTP/1.1 408 "), "{begun}");
}
