//! Promise: each phase of an outgoing request has its own timeout.
//!
//! The clock is paused if the upstream can be within the process: it jumps to the next timer when nothing
//! else can run, so that tests wait for the defaults, and nothing happens too early.

use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Attribution, Body, BodyError, full};
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::time::{Instant, sleep};

use crate::testing::{
    IN_MEMORY, everything, get, listen_in_memory, send, serve, serve_in_memory, whole,
};
use crate::{Egress, EgressError, EgressParams, Network, SendOptions, Timeouts};

fn egress_with(network: Network, timeouts: Timeouts) -> Egress {
    Egress::new(EgressParams {
        grants: everything(),
        network,
        timeouts,
        ..EgressParams::new("test")
    })
}

fn egress(network: Network) -> Egress {
    egress_with(network, Timeouts::default())
}

/// A request whose body the test sends.
fn post() -> (Sender<Bytes, BodyError>, Request<Body>) {
    let (sender, body) = Channel::new(1);
    let request = Request::post(IN_MEMORY).body(UnsyncBoxBody::new(body));
    (sender, request.unwrap())
}

/// Asserts the time since `started`; timers are a millisecond late.
#[track_caller]
fn took(started: Instant, expected: Duration) {
    let elapsed = started.elapsed();
    let late = elapsed.checked_sub(expected);
    let just = late.is_some_and(|late| late < Duration::from_millis(10));
    assert!(just, "it took {elapsed:?} and not {expected:?}");
}

async fn body_error(answer: Response<Body>) -> EgressError {
    let error = whole(answer.into_body()).await.unwrap_err();
    *error.downcast::<EgressError>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_comes_is_late_after_the_first_byte_timeout() {
    let egress = egress(serve_in_memory(|_| std::future::pending()));
    let started = Instant::now();
    let error = send(&egress, get(IN_MEMORY)).await.unwrap_err();
    assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
    took(started, Timeouts::default().first_byte);
}

#[tokio::test(start_paused = true)]
async fn a_guest_may_not_ask_for_more_time_than_the_host_gives() {
    let egress = egress(serve_in_memory(|_| std::future::pending()));
    let most = Timeouts::default().first_byte;
    for (asked, given) in [
        (Duration::MAX, most),
        (Duration::from_secs(1), Duration::from_secs(1)),
    ] {
        let options = SendOptions {
            first_byte_timeout: Some(asked),
            ..SendOptions::default()
        };
        let started = Instant::now();
        let sending = egress.send(get(IN_MEMORY), options, Attribution::unknown());
        let error = sending.await.unwrap_err();
        assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
        took(started, given);
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_byte_is_due_from_the_end_of_the_upload_however_slow_that_is() {
    let egress = egress(serve_in_memory(|request: Request<Incoming>| async {
        request.into_body().collect().await.unwrap();
        std::future::pending().await
    }));
    let times = Timeouts::default();
    let (mut sender, request) = post();
    let sending = tokio::spawn(async move { send(&egress, request).await });
    for _ in 0..3 {
        sender.send_data(Bytes::from_static(b"x")).await.unwrap();
        sleep(times.write.mul_f32(0.9)).await;
    }
    assert!(!sending.is_finished());
    drop(sender);
    let started = Instant::now();
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error, EgressError::FirstByteTimeout), "{error:?}");
    took(started, times.first_byte);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stops_is_a_write_timeout() {
    let egress = egress(serve_in_memory(|request: Request<Incoming>| async {
        let _ = request.into_body().collect().await;
        Response::new(full("ok"))
    }));
    let (mut sender, request) = post();
    let sending = tokio::spawn(async move { send(&egress, request).await });
    sender.send_data(Bytes::from_static(b"x")).await.unwrap();
    let started = Instant::now();
    let error = sending.await.unwrap().unwrap_err();
    assert!(matches!(error, EgressError::WriteTimeout), "{error:?}");
    took(started, Timeouts::default().write);
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stops_after_the_response_has_begun_is_cut_too() {
    let (heard, mut hears) = tokio::sync::mpsc::unbounded_channel();
    let egress = egress(serve_in_memory(move |request: Request<Incoming>| {
        let heard = heard.clone();
        tokio::spawn(async move {
            let whole = request.into_body().collect().await.is_ok();
            heard.send(whole).unwrap();
        });
        async {
            // A response that lasts as long as the request.
            let (sender, body) = Channel::<Bytes, BodyError>::new(1);
            tokio::spawn(async move {
                let _held = sender;
                std::future::pending::<()>().await
            });
            Response::new(UnsyncBoxBody::new(body))
        }
    }));
    let (mut sender, request) = post();
    sender.send_data(Bytes::from_static(b"x")).await.unwrap();
    let started = Instant::now();
    let _answer = send(&egress, request).await.unwrap();
    assert!(
        !hears.recv().await.unwrap(),
        "the upstream took it for whole"
    );
    took(started, Timeouts::default().write);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_is_late_after_the_between_bytes_timeout() {
    let egress = egress(serve_in_memory(|_| async {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        tokio::spawn(async move {
            sender.send_data(Bytes::from_static(b"part")).await.unwrap();
            let _held = sender;
            std::future::pending::<()>().await
        });
        Response::new(UnsyncBoxBody::new(body))
    }));
    let mut answer = send(&egress, get(IN_MEMORY)).await.unwrap();
    let part = answer.frame().await.unwrap().unwrap();
    assert_eq!(part.into_data().unwrap(), "part");
    let started = Instant::now();
    let error = body_error(answer).await;
    let late = matches!(error, EgressError::BetweenBytesTimeout);
    assert!(late, "{error:?}");
    took(started, Timeouts::default().between_bytes);
}

#[tokio::test(start_paused = true)]
async fn all_of_it_is_bounded_by_the_total_even_while_bytes_arrive() {
    const TOTAL: Duration = Duration::from_secs(300);
    let timeouts = || Timeouts {
        total: Some(TOTAL),
        ..Timeouts::default()
    };
    let dripping = serve_in_memory(|_| async {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(b"part")).await.is_ok() {
                sleep(Duration::from_secs(7)).await;
            }
        });
        Response::new(UnsyncBoxBody::new(body))
    });
    let started = Instant::now();
    let egress = egress_with(dripping, timeouts());
    let answer = send(&egress, get(IN_MEMORY)).await.unwrap();
    let error = body_error(answer).await;
    assert!(matches!(error, EgressError::TotalTimeout), "{error:?}");
    took(started, TOTAL);

    let silent = serve_in_memory(|_| std::future::pending());
    let patient = Timeouts {
        first_byte: Duration::MAX,
        ..timeouts()
    };
    let started = Instant::now();
    let sending = send(&egress_with(silent, patient), get(IN_MEMORY)).await;
    let error = sending.unwrap_err();
    assert!(matches!(error, EgressError::TotalTimeout), "{error:?}");
    took(started, TOTAL);
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_never_ends_is_late_after_its_timeout() {
    let held = || {
        listen_in_memory(|stream| async move {
            let _held = stream;
            std::future::pending().await
        })
    };
    let uri = IN_MEMORY.replace("http:", "https:");
    let started = Instant::now();
    let error = send(&egress(held()), get(&uri)).await.unwrap_err();
    let late = matches!(error, EgressError::TlsHandshakeTimeout);
    assert!(late, "{error:?}");
    took(started, Timeouts::default().tls_handshake);

    // The guest's timeout is for the connection and the handshake together.
    let options = SendOptions {
        connect_timeout: Some(Duration::from_secs(1)),
        ..SendOptions::default()
    };
    let started = Instant::now();
    let egress = egress(held());
    let sending = egress.send(get(&uri), options, Attribution::unknown());
    let error = sending.await.unwrap_err();
    assert!(matches!(error, EgressError::ConnectTimeout), "{error:?}");
    took(started, Duration::from_secs(1));
}

/// Over a real socket, where connecting takes time.
#[tokio::test]
async fn a_connection_that_is_there_needs_no_time_to_connect() {
    let upstream = serve(|_| async { Response::new(full("ok")) }).await;
    let egress = egress(Network::default());
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

#[tokio::test(start_paused = true)]
async fn an_upstream_that_never_reads_does_not_hold_a_connection_after_its_answer() {
    // Answers the head and reads nothing more.
    let upstream = listen_in_memory(|mut stream| async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let _ = stream.read(&mut [0; 1024]).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        std::future::pending().await
    });
    let egress = egress(upstream);
    let (mut sender, request) = post();
    let writing = tokio::spawn(async move {
        let part = Bytes::from(vec![b'x'; 1 << 20]);
        while sender.send_data(part.clone()).await.is_ok() {}
    });
    let started = Instant::now();
    let _answer = send(&egress, request).await.unwrap();
    // Ends only when the body is dropped, with the connection.
    writing.await.unwrap();
    took(started, Timeouts::default().write);
    while !egress.connections().is_empty() {
        tokio::task::yield_now().await;
    }
}
