use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use headwater_core::{BodyError, RequestScope};
use http::Response;
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc};

use crate::ServeOutcome;
use crate::testing::{each, get, get_h2, h1, h2, params, route, start, start_with};

type Seen = mpsc::UnboundedReceiver<Arc<RequestScope>>;

/// Reports each scope and never answers.
fn never() -> (Arc<dyn headwater_core::Handler>, Seen) {
    let (seen, sees) = mpsc::unbounded_channel();
    let handler = each(move |_, scope| {
        seen.send(scope).unwrap();
        std::future::pending()
    });
    (handler, sees)
}

#[tokio::test]
async fn a_client_that_goes_away_while_the_handler_works_cancels_the_request() {
    let (handler, mut sees) = never();
    let server = start(handler).await;

    let mut client = h1(server.address).await;
    let request = tokio::spawn(async move { client.send_request(get("/")).await.is_ok() });
    let scope = sees.recv().await.unwrap();
    assert!(!scope.is_over());
    request.abort();
    scope.cancellation().cancelled().await;

    // In HTTP/2 the stream is reset and the connection lives on.
    let mut client = h2(server.address).await;
    let request = tokio::spawn(client.send_request(get_h2("/")));
    let scope = sees.recv().await.unwrap();
    request.abort();
    scope.cancellation().cancelled().await;
    let _other = tokio::spawn(client.send_request(get_h2("/")));
    assert!(!sees.recv().await.unwrap().is_over());
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_the_answer_cancels_the_request() {
    let (seen, mut sees) =
        mpsc::unbounded_channel::<(Arc<RequestScope>, Sender<Bytes, BodyError>)>();
    let server = start(each(move |_, scope| {
        let (sender, body) = Channel::<Bytes, BodyError>::new(1);
        seen.send((scope, sender)).unwrap();
        async { Ok(Response::new(UnsyncBoxBody::new(body))) }
    }))
    .await;
    let mut client = h1(server.address).await;
    let mut answer = client.send_request(get("/")).await.unwrap();
    let (scope, mut sender) = sees.recv().await.unwrap();
    sender.send_data(Bytes::from_static(b"part")).await.unwrap();
    answer.frame().await.unwrap().unwrap();
    assert!(!scope.is_over());
    drop((answer, client));
    scope.cancellation().cancelled().await;
    // The body was dropped with the rest, and the handler's side sees that.
    while sender.send_data(Bytes::from_static(b"more")).await.is_ok() {}
}

#[tokio::test]
async fn the_scope_ends_with_the_last_byte() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let server = start(each(move |_, scope| {
        seen.send(scope).unwrap();
        async { Ok(Response::new(headwater_core::full("whole"))) }
    }))
    .await;
    let mut client = h1(server.address).await;
    let answer = client.send_request(get("/")).await.unwrap();
    answer.into_body().collect().await.unwrap();
    sees.recv().await.unwrap().cancellation().cancelled().await;
}

#[tokio::test]
async fn a_stuck_connection_holds_up_no_other() {
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let server = start(each(move |request, _| {
        let release = Arc::clone(&released);
        async move {
            if request.uri().path() == "/stuck" {
                release.notified().await;
            }
            Ok(Response::new(headwater_core::empty()))
        }
    }))
    .await;
    let mut stuck = h1(server.address).await;
    let stuck = tokio::spawn(async move { stuck.send_request(get("/stuck")).await });
    for _ in 0..3 {
        let answer = h1(server.address)
            .await
            .send_request(get("/"))
            .await
            .unwrap();
        assert!(answer.status().is_success());
    }
    assert!(!stuck.is_finished());
    release.notify_one();
    assert!(stuck.await.unwrap().unwrap().status().is_success());
}

#[tokio::test]
async fn a_drain_finishes_what_is_in_flight_and_takes_nothing_new() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let release = Arc::new(Notify::new());
    let released = Arc::clone(&release);
    let server = start(each(move |_, _| {
        let release = Arc::clone(&released);
        arrived.send(()).unwrap();
        async move {
            release.notified().await;
            Ok(Response::new(headwater_core::full("finished")))
        }
    }))
    .await;
    // An idle connection does not delay the drain.
    let _silent = TcpStream::connect(server.address).await.unwrap();
    let mut one = h1(server.address).await;
    let mut two = h2(server.address).await;
    let one = tokio::spawn(async move { one.send_request(get("/")).await.unwrap() });
    let two = tokio::spawn(async move { two.send_request(get_h2("/")).await.unwrap() });
    for _ in 0..2 {
        arrivals.recv().await.unwrap();
    }
    server.shutdown.cancel();
    // The listener closes as soon as the server gets to run.
    while TcpStream::connect(server.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!server.outcome.is_finished());
    release.notify_waiters();
    for answer in [one, two] {
        let body = answer.await.unwrap().into_body();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "finished");
    }
    assert_eq!(server.outcome.await.unwrap(), ServeOutcome::Drained);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_is_cut_and_says_so() {
    let (handler, mut sees) = never();
    let mut params = params();
    params.drain.timeout = Duration::from_millis(20);
    let server = start_with(params, [route("/...", handler)]).await;
    let mut client = h1(server.address).await;
    let request = tokio::spawn(async move { client.send_request(get("/")).await });
    let scope = sees.recv().await.unwrap();
    server.shutdown.cancel();
    let outcome = server.outcome.await.unwrap();
    assert_eq!(
        outcome,
        ServeOutcome::Cut {
            connections: 1,
            requests: 1,
        }
    );
    assert!(scope.is_over());
    assert!(request.await.unwrap().is_err());
}
