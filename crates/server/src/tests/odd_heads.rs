//! Malformed heads, and heads that services must not get: C11 of `docs/explanation/hardening.md`.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Body, BodyError};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::limits::{CLOSE, mirror, status};
use crate::testing::{answer_with, each, get_h2, h2, params, raw, route, start, start_front};
use crate::{FrontParams, Rate, RequestLimits};

#[tokio::test]
async fn cookies_that_http_2_took_apart_reach_the_service_in_one_field() {
    let server = start(mirror()).await;
    let mut request = get_h2("/");
    for cookie in ["a=1", "b=2", "c=3"] {
        let cookie = HeaderValue::from_static(cookie);
        request.headers_mut().append("cookie", cookie);
    }
    let mut client = h2(server.address).await;
    let answer = client.send_request(request).await.unwrap();
    let text = answer.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("cookie: a=1; b=2; c=3\n"), "{text}");
}

#[tokio::test]
async fn c11_what_clients_may_not_say_they_may_not_say_in_trailers_either() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let server = start(each(move |request: Request<Body>, _| {
        let seen = seen.clone();
        async move {
            let body = request.into_body().collect().await.unwrap();
            seen.send(body.trailers().cloned().unwrap()).unwrap();
            Ok(Response::new(headwater_core::empty()))
        }
    }))
    .await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let (executor, io) = (TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    let mut trailers = HeaderMap::new();
    for name in [
        "client-cert",
        "x-client-cert-subject",
        "headwater-route-id",
        "x-sum",
    ] {
        trailers.insert(name, HeaderValue::from_static("1"));
    }
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);
    let request = Request::post("http://x.example/").body(body).unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    let trailers = sees.recv().await.unwrap();
    let names: Vec<_> = trailers.keys().map(http::HeaderName::as_str).collect();
    assert_eq!(names, ["x-sum"]);
}

#[tokio::test]
async fn requests_that_are_refused_count_for_the_rate_of_whoever_sends_them() {
    let front = FrontParams {
        limits: RequestLimits {
            client_rate: Some(Rate {
                requests: NonZeroU32::MIN,
                period: Duration::from_secs(3_600),
                burst: NonZeroU32::new(4).unwrap(),
            }),
            ..RequestLimits::default()
        },
        ..FrontParams::default()
    };
    let server = start_front(params(), front, [route("/...", answer_with("ok"))]).await;
    let long = format!("GET /{} HTTP/1.1\r\n{CLOSE}\r\n", "a".repeat(8 << 10));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("TRACE / HTTP/1.1\r\n{CLOSE}\r\n"), 405),
        (long.clone(), 414),
        (format!("GET / HTTP/1.1\r\n{CLOSE}\r\n"), 200),
        (long, 429),
        (format!("GET / HTTP/1.1\r\n{CLOSE}\r\n"), 429),
    ] {
        // The first request does not ask to close.
        let request = match request.contains("close") {
            true => request,
            false => request.replacen("\r\n", "\r\nconnection: close\r\n", 1),
        };
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{answer}");
    }
}

#[tokio::test]
async fn what_is_no_http_or_too_much_of_it_is_refused_with_a_status_alone() {
    let server = start(mirror()).await;
    let (most, long) = (u64::MAX - 1, "a".repeat(64 << 10));
    for (request, expected) in [
        ("GET / HTTP/1.1\r\nhost : x\r\n\r\n".to_owned(), 400),
        (format!("GET /{long} HTTP/1.1\r\n{CLOSE}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\n{CLOSE}x: {long}\r\n\r\n"), 431),
        (
            format!("POST / HTTP/1.1\r\n{CLOSE}content-length: {most}\r\n\r\n"),
            431,
        ),
    ] {
        let answer = raw(server.address, request.as_bytes()).await;
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(!answer.contains("x-request-id"), "{answer}");
    }
}
