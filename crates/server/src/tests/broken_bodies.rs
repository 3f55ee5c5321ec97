//! If a request's body breaks off or is malformed, its sender is to blame.

use std::path::PathBuf;

use bytes::Bytes;
use futures::stream;
use headwater_core::{Body, BodyError, Caller, Fault, InternalService, LoopGuard};
use headwater_telemetry::{AccessFormat, Metrics};
use http::{Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::access::{lines, log};
use crate::testing::{Running, each, params, raw, route, start_front};
use crate::{FrontParams, InternalFront, Route};

const CHUNKED: &str = "HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n";

struct Logged {
    server: Running,
    path: PathBuf,
    seen: usize,
    _folder: TempDir,
}

impl Logged {
    async fn start(routes: impl IntoIterator<Item = Route>) -> Self {
        let folder = TempDir::new().unwrap();
        let (access, path) = log(&folder, AccessFormat::Json);
        let front = FrontParams {
            access,
            ..FrontParams::default()
        };
        Self {
            server: start_front(params(), front, routes).await,
            path,
            seen: 0,
            _folder: folder,
        }
    }

    /// Waits for the next line, and returns it.
    async fn line(&mut self) -> String {
        self.seen += 1;
        lines(&self.path, self.seen)
            .await
            .swap_remove(self.seen - 1)
    }
}

/// Malformed chunks, and malformed or too many trailers.
fn malformed() -> [String; 4] {
    [
        "zz\r\n".to_owned(),
        "3\r\nabcd\r\n".to_owned(),
        "3\r\nabc\r\n0\r\nx-t 1\r\n\r\n".to_owned(),
        format!("3\r\nabc\r\n0\r\n{}\r\n", "x: y\r\n".repeat(5_000)),
    ]
}

/// Services that use a body as guests do.
fn routes() -> Vec<Route> {
    let trap = each(|request: Request<Body>, _| async move {
        match request.into_body().collect().await {
            Ok(_) => Ok(Response::new(headwater_core::empty())),
            Err(error) => Err(Fault::trap().caused_by(error)),
        }
    });
    let content = each(|request: Request<Body>, _| async move {
        let _ = request.into_body().collect().await;
        Ok(Response::new(headwater_core::full("content")))
    });
    let unread = each(|request: Request<Body>, _| async move {
        drop(request);
        Ok(Response::new(headwater_core::full("unread")))
    });
    let echo =
        each(|request: Request<Body>, _| async move { Ok(Response::new(request.into_body())) });
    vec![
        route("/trap", trap),
        route("/content", content),
        route("/unread", unread),
        route("/echo", echo),
    ]
}

#[tokio::test]
async fn a_malformed_body_is_400_whatever_the_service_makes_of_it() {
    let mut logged = Logged::start(routes()).await;
    for target in ["/trap", "/content"] {
        for body in malformed() {
            let request = format!("POST {target} {CHUNKED}{body}");
            let answer = raw(logged.server.address, request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{request}: {answer}");
            assert!(answer.contains("body is malformed (request "), "{answer}");
            let line = logged.line().await;
            assert!(
                line.contains("\"status\":400,\"fault\":\"bad_body\""),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn a_service_that_never_looks_at_a_malformed_body_has_its_answer_sent() {
    let server = start_front(params(), FrontParams::default(), routes()).await;
    for body in malformed() {
        let request = format!("POST /unread {CHUNKED}{body}");
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("unread"), "{answer}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_by_a_malformed_body_is_the_client_s_fault() {
    let mut logged = Logged::start(routes()).await;
    let mut client = TcpStream::connect(logged.server.address).await.unwrap();
    let begun = format!("POST /echo {CHUNKED}3\r\nabc\r\n");
    client.write_all(begun.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"abc\r\n") {
        answer.push(client.read_u8().await.unwrap());
    }
    client.write_all(b"0\r\nx-t 1\r\n\r\n").await.unwrap();
    client.read_to_end(&mut answer).await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    assert!(!answer.ends_with(b"0\r\n\r\n"));
    let line = logged.line().await;
    assert!(
        line.contains("\"status\":200,\"fault\":\"bad_body\""),
        "{line}"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_within_its_body_has_gone_whatever_the_service_makes_of_it() {
    let mut logged = Logged::start(routes()).await;
    for target in ["/trap", "/content"] {
        for begun in [
            "HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nabc".to_owned(),
            format!("{CHUNKED}3\r\nabc\r\n"),
        ] {
            let mut client = TcpStream::connect(logged.server.address).await.unwrap();
            let request = format!("POST {target} {begun}");
            client.write_all(request.as_bytes()).await.unwrap();
            // Closes only its own side, so that it sees the answer.
            client.shutdown().await.unwrap();
            let mut answer = String::new();
            client.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with("HTTP/1.1 499 "), "{answer}");
            let line = logged.line().await;
            assert!(
                line.contains("\"status\":499,\"fault\":\"client_closed\""),
                "{line}"
            );
        }
    }
}

#[tokio::test]
async fn a_stream_of_http_2_that_is_reset_within_its_body_was_ended_by_the_client() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let trap = each(move |request: Request<Body>, _| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            seen.send(()).unwrap();
            let broken = body.frame().await.unwrap();
            Err(Fault::trap().caused_by(broken.unwrap_err()))
        }
    });
    let mut logged = Logged::start([route("/...", trap)]).await;
    let stream = TcpStream::connect(logged.server.address).await.unwrap();
    let (executor, io) = (TokioExecutor::new(), TokioIo::new(stream));
    let (mut client, connection) = http2::handshake(executor, io).await.unwrap();
    tokio::spawn(connection);
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    let request = Request::post("http://x.example/").body(body).unwrap();
    let answer = tokio::spawn(client.send_request(request));
    sender.send_data(Bytes::from_static(b"abc")).await.unwrap();
    sees.recv().await.unwrap();
    sender.abort(BodyError::from("changed its mind"));
    assert!(answer.await.unwrap().is_err());
    let line = logged.line().await;
    assert!(
        line.contains("\"status\":499,\"fault\":\"client_closed\""),
        "{line}"
    );
}

#[tokio::test]
async fn a_body_that_another_service_breaks_off_is_no_client_s_fault() {
    let trap = routes().remove(0);
    let front = InternalFront::new(trap, Metrics::default(), LoopGuard::default());
    let caller = Caller {
        service: "caller".into(),
        scope: None,
    };
    let parts = [
        Ok(Frame::data(Bytes::from_static(b"abc"))),
        Err(BodyError::from("cut")),
    ];
    let body = StreamBody::new(stream::iter(parts)).boxed_unsync();
    let request = Request::post("http://test.internal/").body(body).unwrap();
    let answer = std::sync::Arc::new(front).call(request, caller).await;
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}
