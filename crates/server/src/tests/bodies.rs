use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use headwater_core::{Body, BodyError, Counters};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::testing::{LONG, answer_with, each, get, get_h2, h1, h2, raw, start};

/// A body of unknown length; its last item decides how it ends.
fn frames(frames: Vec<Result<Frame<Bytes>, BodyError>>) -> Body {
    StreamBody::new(stream::iter(frames)).boxed_unsync()
}

fn data(text: &'static str) -> Result<Frame<Bytes>, BodyError> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways_and_are_counted() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let server = start(each(move |request, scope| {
        seen.send(scope).unwrap();
        async { Ok(Response::new(request.into_body())) }
    }))
    .await;
    let stream = TcpStream::connect(server.address).await.unwrap();
    let io = hyper_util::rt::TokioIo::new(stream);
    let executor = hyper_util::rt::TokioExecutor::new();
    let (mut client, connection) = hyper::client::conn::http2::handshake(executor, io)
        .await
        .unwrap();
    tokio::spawn(connection);

    let (sender, body) = http_body_util::channel::Channel::<Bytes, BodyError>::new(1);
    let mut sender = sender;
    let request = Request::post("http://x.example/").body(body).unwrap();
    let mut answer = client.send_request(request).await.unwrap();
    let scope = sees.recv().await.unwrap();
    // Each part comes back before the next is sent.
    for part in ["one", "three"] {
        sender
            .send_data(Bytes::from_static(part.as_bytes()))
            .await
            .unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
        assert!(!scope.is_over());
    }
    let mut trailers = http::HeaderMap::new();
    trailers.insert("x-sum", http::HeaderValue::from_static("8"));
    sender.send_trailers(trailers).await.unwrap();
    drop(sender);
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["x-sum"], "8");

    scope.cancellation().cancelled().await;
    assert_eq!(Counters::get(&scope.counters().request_bytes), 8);
    assert_eq!(Counters::get(&scope.counters().response_bytes), 8);
}

#[tokio::test]
async fn a_cut_body_never_looks_like_a_whole_one() {
    let server = start(each(|request, _| async move {
        let cut = Err(BodyError::from("cut"));
        let body = frames(vec![data("beginning"), cut]);
        let mut response = Response::new(body);
        if request.uri().path() == "/length" {
            let length = http::HeaderValue::from_static("100");
            response.headers_mut().insert("content-length", length);
        }
        Ok(response)
    }))
    .await;
    for path in ["/", "/length"] {
        let answer = h1(server.address)
            .await
            .send_request(get(path))
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert!(answer.into_body().collect().await.is_err(), "HTTP/1 {path}");

        let mut client = h2(server.address).await;
        let answer = client.send_request(get_h2(path)).await.unwrap();
        assert!(answer.into_body().collect().await.is_err(), "HTTP/2 {path}");
        // Only the stream ends, not the connection.
        assert!(client.send_request(get_h2(path)).await.is_ok());
    }
    let answer = raw(server.address, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.contains("beginning"), "{answer}");
    assert!(!answer.contains("\r\n0\r\n"), "{answer}");
}

#[tokio::test]
async fn a_false_content_length_never_shifts_the_next_answer() {
    let server = start(each(|request, _| async move {
        let (declared, body) = match request.uri().path() {
            "/short-known" => ("10", headwater_core::full("12345")),
            "/long-known" => ("3", headwater_core::full("12345")),
            "/short" => ("10", frames(vec![data("12345")])),
            "/long" => ("3", frames(vec![data("12"), data("345"), data("678")])),
            "/odd" => ("+3", frames(vec![data("123")])),
            _ => ("2", frames(vec![data("ok")])),
        };
        Ok(Response::builder()
            .header("content-length", declared)
            .body(body)
            .unwrap())
    }))
    .await;
    // A length that is known to be wrong before the head is sent is a fault.
    let mut client = h1(server.address).await;
    for path in ["/short-known", "/long-known", "/odd"] {
        let answer = client.send_request(get(path)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{path}");
        answer.into_body().collect().await.unwrap();
        let next = client.send_request(get("/")).await.unwrap();
        assert_eq!(next.into_body().collect().await.unwrap().to_bytes(), "ok");
    }
    // Too short: the message is cut, and the connection with it.
    let answer = h1(server.address)
        .await
        .send_request(get("/short"))
        .await
        .unwrap();
    assert!(answer.into_body().collect().await.is_err());
    // Too long: the message ends at its declared length, and only an answer follows.
    let two = b"GET /long HTTP/1.1\r\nhost: x\r\n\r\n\
                GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = raw(server.address, two).await;
    let (_, first) = answers.split_once("\r\n\r\n").unwrap();
    assert!(first.starts_with("123"), "{answers}");
    assert!(
        first[3..].is_empty() || first[3..].starts_with("HTTP/1.1 200"),
        "{answers}"
    );
}

#[tokio::test]
async fn a_large_body_that_nobody_reads_neither_hangs_nor_costs_the_answer() {
    const SIZE: usize = 32 << 20;
    let server = start(answer_with("unread")).await;
    let mib = vec![b'x'; 1 << 20];
    for chunked in [false, true] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        let framing = match chunked {
            true => "transfer-encoding: chunked".to_owned(),
            false => format!("content-length: {SIZE}"),
        };
        let head = format!("POST / HTTP/1.1\r\nhost: x\r\n{framing}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        // A simple client that sends everything before it reads anything.
        for _ in 0..SIZE / mib.len() {
            if chunked {
                stream.write_all(b"100000\r\n").await.unwrap();
            }
            stream.write_all(&mib).await.unwrap();
            if chunked {
                stream.write_all(b"\r\n").await.unwrap();
            }
        }
        if chunked {
            stream.write_all(b"0\r\n\r\n").await.unwrap();
        }
        let next = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        stream.write_all(next).await.unwrap();
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 2, "{answers}");
        assert_eq!(answers.matches("unread").count(), 2, "{answers}");
    }
    let mut client = h2(server.address).await;
    let request = Request::post("http://x.example/")
        .body(Full::new(Bytes::from(vec![b'x'; SIZE])))
        .unwrap();
    let answer = client.send_request(request).await.unwrap();
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "unread"
    );
}

#[tokio::test]
async fn a_client_that_asks_before_it_sends_is_told_only_if_the_body_is_wanted() {
    let server = start(each(|request, _| async move {
        Ok(Response::new(match request.uri().path() {
            "/wanted" => {
                let whole = request.into_body().collect().await.unwrap();
                headwater_core::full(whole.to_bytes())
            }
            _ => headwater_core::full("unwanted"),
        }))
    }))
    .await;
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head("/wanted").as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"data").await.unwrap();
    let mut answer = [0; 512];
    let mut length = 0;
    while !answer[..length].windows(4).any(|window| window == b"data") {
        let read = stream.read(&mut answer[length..]).await.unwrap();
        assert_ne!(read, 0);
        length += read;
    }
    let answer = raw(server.address, head("/unwanted").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("unwanted"), "{answer}");
}

#[tokio::test]
async fn a_body_cut_by_the_client_is_an_error_to_the_handler() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let server = start(each(move |request, _| {
        let seen = seen.clone();
        async move {
            let whole = request.into_body().collect().await;
            seen.send(whole.is_err()).unwrap();
            Ok(Response::new(headwater_core::empty()))
        }
    }))
    .await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nshort";
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let cut = tokio::time::timeout(LONG.min(Duration::from_secs(60)), sees.recv()).await;
    assert_eq!(cut.unwrap(), Some(true));
}
