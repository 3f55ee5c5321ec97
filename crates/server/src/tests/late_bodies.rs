//! The blame if an answer is due and the request's body is not there: C1 of `docs/explanation/hardening.md`.

use std::sync::Arc;
use std::time::Duration;

use headwater_core::{Body, Fault, Handler, RequestScope};
use http::{Request, Response};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::FrontParams;
use crate::testing::{Running, each, params, raw, route, start_front};

const BEGUN: &str = "POST / HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5\r\n\r\n";

/// A server whose deadline is much shorter than its timeout of idle bodies.
async fn serve(handler: Arc<dyn Handler>) -> Running {
    let mut route = route("/...", handler);
    route.timeout = Duration::from_millis(500);
    let front = FrontParams {
        linger: Duration::from_millis(20),
        ..FrontParams::default()
    };
    start_front(params(), front, [route]).await
}

type Seen = mpsc::UnboundedReceiver<(Arc<RequestScope>, bool)>;

/// Reads the body in a task that outlives the call, and waits for its end. Reports the scope, and whether the
/// body was whole.
fn reading() -> (Arc<dyn Handler>, Seen) {
    let (seen, sees) = mpsc::unbounded_channel();
    let handler = each(move |request: Request<Body>, scope| {
        let seen = seen.clone();
        let reader = tokio::spawn(async move {
            let whole = request.into_body().collect().await.is_ok();
            seen.send((scope, whole)).unwrap();
        });
        async move {
            reader.await.unwrap();
            Ok(Response::new(headwater_core::full("read")))
        }
    });
    (handler, sees)
}

#[tokio::test]
async fn c1_an_answer_that_waits_for_its_body_is_408_when_it_is_due_and_the_reader_is_told() {
    let (handler, mut sees) = reading();
    let server = serve(handler).await;
    for part in ["", "abc"] {
        let answer = raw(server.address, format!("{BEGUN}{part}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("did not arrive in time"), "{answer}");
        let (scope, whole) = sees.recv().await.unwrap();
        assert!(!whole);
        assert!(scope.is_body_late());
    }
}

#[tokio::test]
async fn c1_it_is_the_same_for_a_service_that_looks_at_the_clock_itself() {
    let handler = each(
        |request: Request<Body>, scope: Arc<RequestScope>| async move {
            let due = scope.deadline().unwrap().into();
            match tokio::time::timeout_at(due, request.into_body().collect()).await {
                Ok(_) => Ok(Response::new(headwater_core::empty())),
                Err(_elapsed) => Err(Fault::deadline()),
            }
        },
    );
    let server = serve(handler).await;
    let answer = raw(server.address, BEGUN.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn c1_a_body_that_drips_does_not_outlast_the_deadline() {
    let (handler, mut sees) = reading();
    let server = serve(handler).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    let head = BEGUN.replace("content-length: 5", "content-length: 100000");
    client.write_all(head.as_bytes()).await.unwrap();
    let (mut answers, mut body) = client.split();
    let dripping = async {
        while body.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let mut answer = [0; 12];
    tokio::select! {
        read = answers.read_exact(&mut answer) => drop(read.unwrap()),
        () = dripping => panic!("closed without an answer"),
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert!(!sees.recv().await.unwrap().1);
}

#[tokio::test]
async fn a_service_that_does_not_wait_for_the_body_has_missed_its_deadline_itself() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let handler = each(move |request: Request<Body>, scope| {
        seen.send(scope).unwrap();
        async move {
            let path = request.uri().path().to_owned();
            let mut body = request.into_body();
            match &*path {
                "/unread" => std::future::pending::<()>().await,
                // Reads what has come, and then drops the body.
                "/dropped" => {
                    body.frame().await;
                    let _ = futures::poll!(body.frame());
                    drop(body);
                    std::future::pending::<()>().await;
                }
                _ => {
                    body.collect().await.unwrap();
                    std::future::pending::<()>().await;
                }
            }
            Ok(Response::new(headwater_core::empty()))
        }
    });
    let server = serve(handler).await;
    for (path, part) in [("/unread", "abc"), ("/dropped", "abc"), ("/whole", "abcde")] {
        let begun = BEGUN.replace("POST /", &format!("POST {path}"));
        let answer = raw(server.address, format!("{begun}{part}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 504 "), "{path}: {answer}");
        assert!(!sees.recv().await.unwrap().is_body_late());
    }
}

#[tokio::test]
async fn a_body_that_came_and_is_not_looked_at_is_not_late() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let handler = each(move |request: Request<Body>, scope| {
        let seen = seen.clone();
        async move {
            let mut body = request.into_body();
            // Polled once without a result; later bytes are not read.
            let mut frame = Box::pin(body.frame());
            assert!(futures::poll!(&mut frame).is_pending());
            seen.send(scope).unwrap();
            std::future::pending::<()>().await;
            drop(frame);
            Ok(Response::new(headwater_core::empty()))
        }
    });
    let server = serve(handler).await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    client.write_all(BEGUN.as_bytes()).await.unwrap();
    let scope = sees.recv().await.unwrap();
    client.write_all(b"abc").await.unwrap();
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(!scope.is_body_late());
}
