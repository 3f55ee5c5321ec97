//! Promise: bodies arrive as they were sent, complete or visibly cut, and what follows on a
//! connection is never taken for a part of them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use headwater_core::{Attribution, Body, BodyError, PolledFrame, full};
use http::header::{CONTENT_LENGTH, TE, TRAILER};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::testing::{SHORT, Upstream, egress, everything, get, listen, send, serve, whole};
use crate::{Egress, EgressError, EgressParams, SendOptions};

/// Reads a head, sends these bytes on the connection, and repeats as long as there are requests.
async fn scripted(says: &'static [u8]) -> Upstream {
    listen(move |mut stream: TcpStream| async move {
        let mut seen = Vec::new();
        while stream.read_buf(&mut seen).await.is_ok_and(|read| read > 0) {
            while let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                seen.drain(..end + 4);
                if stream.write_all(says).await.is_err() {
                    return;
                }
            }
        }
    })
    .await
}

/// Reports everything that arrives on a connection, once it is over, and answers nothing.
async fn listener() -> (Upstream, mpsc::UnboundedReceiver<String>) {
    let (heard, hears) = mpsc::unbounded_channel();
    let upstream = listen(move |mut stream: TcpStream| {
        let heard = heard.clone();
        async move {
            let mut all = Vec::new();
            // A reset is as good an end as a close.
            let _ = stream.read_to_end(&mut all).await;
            heard.send(String::from_utf8(all).unwrap()).unwrap();
        }
    })
    .await;
    (upstream, hears)
}

fn streamed(parts: &'static [&'static str]) -> (Body, tokio::task::JoinHandle<()>) {
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    let sending = tokio::spawn(async move {
        for part in parts {
            let _ = sender.send_data(Bytes::from_static(part.as_bytes())).await;
        }
    });
    (UnsyncBoxBody::new(body), sending)
}

#[tokio::test]
async fn a_body_that_is_not_as_long_as_declared_never_ends_as_if_it_were() {
    for parts in [&["par"][..], &["parts"], &["par", "ts"]] {
        let (upstream, mut hears) = listener().await;
        let (body, _sending) = streamed(parts);
        let request = Request::post(upstream.uri("/"))
            .header(CONTENT_LENGTH, 4)
            .body(body)
            .unwrap();
        let error = send(&egress(), request).await.unwrap_err();
        assert!(matches!(error, EgressError::ContentLength), "{error:?}");
        let heard = hears.recv().await.unwrap();
        let (_, body) = heard.split_once("\r\n\r\n").unwrap_or_default();
        assert!(body.len() < 4, "{heard}");
    }
}

#[tokio::test]
async fn what_comes_after_a_body_s_declared_length_is_never_asked_for() {
    let (upstream, mut hears) = listener().await;
    let (body, _sending) = streamed(&["part", "GET /evil HTTP/1.1\r\n\r\n"]);
    let request = Request::post(upstream.uri("/"))
        .header(CONTENT_LENGTH, 4)
        .body(body)
        .unwrap();
    let options = SendOptions {
        first_byte_timeout: Some(SHORT),
        ..SendOptions::default()
    };
    let sent = egress().send(request, options, Attribution::unknown());
    let error = sent.await.unwrap_err();
    assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
    let heard = hears.recv().await.unwrap();
    assert!(heard.ends_with("\r\n\r\npart"), "{heard}");
}

#[tokio::test]
async fn bytes_beyond_a_response_s_length_are_no_part_of_the_next() {
    let upstream = scripted(
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil",
    )
    .await;
    let egress = egress();
    for _ in 0..5 {
        let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    assert_eq!(upstream.accepted(), 5, "such a connection is used once");
}

#[tokio::test]
async fn two_lengths_that_differ_are_no_response() {
    for says in [
        &b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nab",
    ] {
        let upstream = scripted(says).await;
        let error = send(&egress(), get(&upstream.uri("/"))).await.unwrap_err();
        assert!(matches!(error, EgressError::Protocol(_)), "{error:?}");
    }
}

struct Frames<I>(I);

impl<I: Iterator<Item = Frame<Bytes>> + Unpin> http_body::Body for Frames<I> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> PolledFrame {
        Poll::Ready(self.0.next().map(Ok))
    }
}

fn trailers() -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", HeaderValue::from_static("42"));
    trailers
}

fn with_trailers() -> Body {
    let frames = [
        Frame::data(Bytes::from_static(b"part")),
        Frame::trailers(trailers()),
    ];
    Frames(frames.into_iter()).boxed_unsync()
}

/// An upstream that answers with the trailers that it got, and reports them.
async fn echoing(h2c: bool) -> (Upstream, Egress) {
    let upstream = serve(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap();
        let sum = body.trailers().and_then(|trailers| trailers.get("x-sum"));
        assert_eq!(sum.unwrap(), "42");
        Response::builder()
            .header(TRAILER, "x-sum")
            .body(with_trailers())
            .unwrap()
    })
    .await;
    let known = format!("http://{}", upstream.address).parse().unwrap();
    let egress = Egress::new(EgressParams {
        grants: everything(),
        h2c: h2c.then_some(known).into_iter().collect(),
        ..EgressParams::new("test")
    });
    (upstream, egress)
}

#[tokio::test]
async fn trailers_travel_both_ways_over_http_1_and_2() {
    for h2c in [false, true] {
        let (upstream, egress) = echoing(h2c).await;
        let request = Request::post(upstream.uri("/"))
            .header(TRAILER, "x-sum")
            .header(TE, "trailers")
            .body(with_trailers())
            .unwrap();
        let answer = send(&egress, request).await.unwrap();
        assert_eq!(answer.version() == http::Version::HTTP_2, h2c);
        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.trailers(), Some(&trailers()));
        assert_eq!(body.to_bytes(), "part");
    }
}

#[tokio::test]
async fn http_2_without_tls_takes_one_connection_for_requests_at_once() {
    let upstream = serve(|request: Request<_>| async move {
        assert_eq!(request.version(), http::Version::HTTP_2);
        Response::new(full("ok"))
    })
    .await;
    let egress = Egress::new(EgressParams {
        grants: everything(),
        h2c: vec![upstream.address.to_string().parse().unwrap()],
        ..EgressParams::new("test")
    });
    let requests = (0..16).map(|_| {
        let (egress, request) = (egress.clone(), get(&upstream.uri("/")));
        tokio::spawn(async move {
            let answer = send(&egress, request).await.unwrap();
            assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
        })
    });
    for request in requests.collect::<Vec<_>>() {
        request.await.unwrap();
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn interim_responses_are_passed_over() {
    let upstream = scripted(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n\
          HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    )
    .await;
    let egress = egress();
    for _ in 0..2 {
        let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.headers().get("link").is_none());
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_switch_of_protocols_is_refused_and_named() {
    let upstream =
        scripted(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
            .await;
    let error = send(&egress(), get(&upstream.uri("/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::Upgrade), "{error:?}");
}

/// Far more than the buffers of sockets and clients hold together.
const MUCH: usize = 64 << 20;
const PART: usize = 64 << 10;

/// A body of [`MUCH`], and how much of it was read.
fn much() -> (Body, Arc<AtomicUsize>) {
    let taken = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&taken);
    let part = Bytes::from(vec![b'x'; PART]);
    let parts = (0..MUCH / PART).map(move |_| {
        counter.fetch_add(PART, Ordering::Relaxed);
        Frame::data(part.clone())
    });
    (Frames(parts).boxed_unsync(), taken)
}

#[tokio::test]
async fn an_upstream_that_reads_nothing_is_sent_no_more_than_buffers_hold() {
    let upstream = listen(|stream: TcpStream| async move {
        let _held = stream;
        std::future::pending().await
    })
    .await;
    let egress = Egress::new(EgressParams {
        grants: everything(),
        timeouts: crate::Timeouts {
            write: SHORT,
            ..crate::Timeouts::default()
        },
        ..EgressParams::new("test")
    });
    let (body, taken) = much();
    let request = Request::post(upstream.uri("/")).body(body).unwrap();
    let error = send(&egress, request).await.unwrap_err();
    assert!(matches!(error, EgressError::WriteTimeout), "{error:?}");
    let taken = taken.load(Ordering::Relaxed);
    assert!(taken < MUCH / 4, "{taken}");
}

#[tokio::test]
async fn a_guest_that_reads_nothing_is_sent_no_more_than_buffers_hold() {
    let (body, taken) = much();
    let body = std::sync::Mutex::new(Some(body));
    let body = Arc::new(body);
    let upstream = serve(move |_| {
        let body = body.lock().unwrap().take().unwrap();
        async { Response::new(body) }
    })
    .await;
    let answer = send(&egress(), get(&upstream.uri("/"))).await.unwrap();
    // The upstream gets no further, however long it waits.
    let mut before = usize::MAX;
    while before != taken.load(Ordering::Relaxed) {
        before = taken.load(Ordering::Relaxed);
        tokio::time::sleep(SHORT * 5).await;
    }
    assert!(before < MUCH / 4, "{before}");
    assert_eq!(whole(answer.into_body()).await.unwrap().len(), MUCH);
}
