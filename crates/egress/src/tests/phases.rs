//! Promise: each phase of an outgoing request is bounded by a time of its own.

use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Attribution, BodyError, full};
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

use crate::testing::{SHORT, everything, get, listen, send, serve, whole};
use crate::{Egress, EgressError, EgressParams, SendOptions, Timeouts};

const LONG: Duration = Duration::from_secs(600);

fn egress_with(timeouts: Timeouts) -> Egress {
    Egress::new(EgressParams {
        grants: everything(),
        timeouts,
        ..EgressParams::new("test")
    })
}

/// A request whose body is given by hand.
fn post(uri: &str) -> (Sender<Bytes, BodyError>, Request<headwater_core::Body>) {
    let (sender, body) = Channel::new(1);
    let request = Request::post(uri).body(UnsyncBoxBody::new(body));
    (sender, request.unwrap())
}

#[tokio::test]
async fn a_guest_may_not_ask_for_more_time_than_the_host_gives() {
    let silent = serve(|_| std::future::pending()).await;
    let egress = egress_with(Timeouts {
        first_byte: SHORT,
        ..Timeouts::default()
    });
    let options = SendOptions {
        first_byte_timeout: Some(Duration::MAX),
        ..SendOptions::default()
    };
    let error = egress
        .send(get(&silent.uri("/")), options, Attribution::unknown())
        .await
        .unwrap_err();
    assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
}

#[tokio::test]
async fn the_first_byte_is_due_from_the_end_of_the_upload_however_slow_that_is() {
    let silent = serve(|request: Request<Incoming>| async {
        request.into_body().collect().await.unwrap();
        std::future::pending().await
    })
    .await;
    let egress = egress_with(Timeouts {
        first_byte: SHORT,
        write: LONG,
        ..Timeouts::default()
    });
    let (mut sender, request) = post(&silent.uri("/"));
    let sending = tokio::spawn(async move { send(&egress, request).await });
    sender.send_data(Bytes::from_static(b"x")).await.unwrap();
    tokio::time::sleep(SHORT * 5).await;
    assert!(!sending.is_finished());
    drop(sender);
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
}

#[tokio::test]
async fn an_upload_that_stops_is_a_write_timeout() {
    let upstream = serve(|request: Request<Incoming>| async {
        let _ = request.into_body().collect().await;
        Response::new(full("ok"))
    })
    .await;
    let egress = egress_with(Timeouts {
        write: SHORT,
        ..Timeouts::default()
    });
    let (mut sender, request) = post(&upstream.uri("/"));
    let sending = tokio::spawn(async move { send(&egress, request).await });
    sender.send_data(Bytes::from_static(b"x")).await.unwrap();
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error, EgressError::WriteTimeout), "{error:?}");
}

#[tokio::test]
async fn an_upload_that_stops_after_the_response_has_begun_is_cut_too() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let upstream = serve(move |request: Request<Incoming>| {
        let heard = heard.clone();
        tokio::spawn(async move {
            let whole = request.into_body().collect().await.is_ok();
            heard.send(whole).unwrap();
        });
        async {
            // A response that goes on for as long as the request does.
            let (sender, body) = Channel::<Bytes, BodyError>::new(1);
            tokio::spawn(async move {
                let _held = sender;
                std::future::pending::<()>().await
            });
            Response::new(UnsyncBoxBody::new(body))
        }
    })
    .await;
    let egress = egress_with(Timeouts {
        write: SHORT,
        ..Timeouts::default()
    });
    let (mut sender, request) = post(&upstream.uri("/"));
    let sending = tokio::spawn(async move { send(&egress, request).await });
    sender.send_data(Bytes::from_static(b"x")).await.unwrap();
    // The response may have begun or not when the time is over: either way it is over.
    let _answer = sending.await.unwrap();
    assert!(
        !hears.recv().await.unwrap(),
        "the upstream took it for whole"
    );
}

#[tokio::test]
async fn all_of_it_is_bounded_by_the_total_even_while_bytes_arrive() {
    let upstream = serve(|_| async {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(b"part")).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        Response::new(UnsyncBoxBody::new(body))
    })
    .await;
    let egress = egress_with(Timeouts {
        total: Some(Duration::from_millis(500)),
        ..Timeouts::default()
    });
    // On a slow machine it may be over before the response has begun.
    let error = match send(&egress, get(&upstream.uri("/"))).await {
        Ok(answer) => {
            let error = whole(answer.into_body()).await.unwrap_err();
            *error.downcast::<EgressError>().unwrap()
        }
        Err(error) => error,
    };
    assert!(matches!(error, EgressError::TotalTimeout), "{error:?}");

    let silent = serve(|_| std::future::pending()).await;
    let error = send(&egress, get(&silent.uri("/"))).await.unwrap_err();
    assert!(matches!(error, EgressError::TotalTimeout), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_is_there_needs_no_time_to_connect() {
    let upstream = serve(|_| async { Response::new(full("ok")) }).await;
    let egress = egress_with(Timeouts::default());
    let options = SendOptions {
        connect_timeout: Some(Duration::ZERO),
        ..SendOptions::default()
    };
    let zero = || egress.send(get(&upstream.uri("/")), options, Attribution::unknown());
    let error = zero().await.unwrap_err();
    assert!(matches!(error, EgressError::ConnectTimeout), "{error:?}");
    let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    whole(answer.into_body()).await.unwrap();
    let answer = zero().await.unwrap();
    assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
}

#[tokio::test]
async fn an_upstream_that_never_reads_does_not_hold_a_connection_after_its_answer() {
    // Answers at once and reads nothing more.
    let upstream = listen(|mut stream: tokio::net::TcpStream| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        std::future::pending().await
    })
    .await;
    let egress = egress_with(Timeouts {
        write: SHORT,
        ..Timeouts::default()
    });
    let (mut sender, request) = post(&upstream.uri("/"));
    let writing = tokio::spawn(async move {
        let part = Bytes::from(vec![b'x'; 1 << 20]);
        while sender.send_data(part.clone()).await.is_ok() {}
    });
    let _answer = send(&egress, request).await;
    // Ends only when the body is dropped, with the connection.
    writing.await.unwrap();
    while !egress.connections().is_empty() {
        tokio::task::yield_now().await;
    }
}
