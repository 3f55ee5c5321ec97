//! Promise: outgoing requests are limited in number and size, and the error names the limit.

use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Attribution, Body, BodyError, full};
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::net::TcpStream;

use crate::testing::{SHORT, Upstream, everything, get, listen, send, serve, whole};
use crate::{
    Egress, EgressError, EgressLimits, EgressParams, EgressShared, Limit, SendOptions, SharedLimits,
};

fn egress_of(service: &str, limits: EgressLimits, shared: &EgressShared) -> Egress {
    Egress::new(EgressParams {
        grants: everything(),
        limits,
        shared: shared.clone(),
        ..EgressParams::new(service)
    })
}

fn egress_with(limits: EgressLimits) -> Egress {
    egress_of("test", limits, &EgressShared::default())
}

fn limit(error: EgressError) -> Limit {
    match error {
        EgressError::Limit(limit) => limit,
        error => panic!("{error:?}"),
    }
}

/// The defaults without a wait.
fn at_once() -> EgressLimits {
    EgressLimits {
        wait: Duration::ZERO,
        ..EgressLimits::default()
    }
}

/// Waits until the connections that are to be closed are closed, which takes a moment.
async fn at_most(many: usize, of: &[&Egress]) {
    let open = |egress: &&Egress| {
        let counts = egress.connections();
        counts.iter().map(|of| of.active + of.idle).sum::<usize>()
    };
    while of.iter().map(open).sum::<usize>() > many {
        tokio::task::yield_now().await;
    }
}

async fn ok() -> Upstream {
    serve(|_| async { Response::new(full("ok")) }).await
}

async fn endless() -> Upstream {
    serve(|_| async {
        let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
        tokio::spawn(async move {
            while sender.send_data(Bytes::from_static(b"part")).await.is_ok() {}
        });
        Response::new(UnsyncBoxBody::new(body))
    })
    .await
}

#[tokio::test]
async fn one_request_too_many_is_refused_at_once_until_another_has_ended() {
    let upstream = endless().await;
    let egress = egress_with(EgressLimits {
        max_requests: 2,
        ..at_once()
    });
    let uri = upstream.uri("/");
    let first = send(&egress, get(&uri)).await.unwrap();
    let _second = send(&egress, get(&uri)).await.unwrap();
    let refused = send(&egress, get(&uri)).await.unwrap_err();
    assert_eq!(limit(refused), Limit::ServiceRequests);
    assert_eq!(egress.totals().refused[1], (Limit::ServiceRequests, 1));
    drop(first);
    send(&egress, get(&uri)).await.unwrap();
}

#[tokio::test]
async fn all_services_together_are_bounded_too() {
    let upstream = endless().await;
    let shared = EgressShared::new(SharedLimits {
        max_requests: 1,
        ..SharedLimits::default()
    });
    let one = egress_of("one", at_once(), &shared);
    let other = egress_of("other", at_once(), &shared);
    let uri = upstream.uri("/");
    let held = send(&one, get(&uri)).await.unwrap();
    let refused = send(&other, get(&uri)).await.unwrap_err();
    assert_eq!(limit(refused), Limit::AllRequests);
    drop(held);
    send(&other, get(&uri)).await.unwrap();
}

#[tokio::test]
async fn who_may_wait_gets_the_place_of_the_one_that_ends() {
    let upstream = endless().await;
    let egress = egress_with(EgressLimits {
        max_requests: 1,
        wait: Duration::from_secs(600),
        ..EgressLimits::default()
    });
    let uri = upstream.uri("/");
    let held = send(&egress, get(&uri)).await.unwrap();
    let waiting = tokio::spawn({
        let (egress, uri) = (egress.clone(), uri.clone());
        async move { send(&egress, get(&uri)).await.map(drop) }
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(held);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_asks_for_less_time_than_the_wait_is_told_what_was_waited_for() {
    let upstream = endless().await;
    let egress = egress_with(EgressLimits {
        max_requests: 1,
        wait: Duration::from_secs(600),
        ..EgressLimits::default()
    });
    let uri = upstream.uri("/");
    let _held = send(&egress, get(&uri)).await.unwrap();
    for asked in [Duration::ZERO, SHORT] {
        let options = SendOptions {
            connect_timeout: Some(asked),
            ..SendOptions::default()
        };
        let sending = egress.send(get(&uri), options, Attribution::unknown());
        assert_eq!(limit(sending.await.unwrap_err()), Limit::ServiceRequests);
    }
}

/// Two concurrent requests to one upstream with a limit of one connection: the second gets it after the
/// first, and it is not closed for the second.
#[tokio::test]
async fn who_waits_for_a_connection_to_the_same_upstream_is_given_the_one_that_there_is() {
    let upstream = serve(|request: Request<Incoming>| async move {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(SHORT).await;
        }
        Response::new(full("ok"))
    })
    .await;
    let egress = egress_with(EgressLimits {
        max_connections: 1,
        ..EgressLimits::default()
    });
    for _ in 0..10 {
        let requests = (0..4).map(|_| {
            let (egress, uri) = (egress.clone(), upstream.uri("/slow"));
            tokio::spawn(async move {
                let answer = send(&egress, get(&uri)).await.unwrap();
                whole(answer.into_body()).await.unwrap()
            })
        });
        for request in requests.collect::<Vec<_>>() {
            assert_eq!(request.await.unwrap(), "ok");
        }
    }
    assert_eq!(upstream.accepted(), 1);
}

/// The pool continues with the connection that it began to make for the second request.
#[tokio::test]
async fn who_was_given_a_connection_meanwhile_takes_no_place_from_another() {
    let other = ok().await;
    let egress = egress_with(EgressLimits {
        max_connections: 1,
        wait: Duration::from_secs(600),
        ..EgressLimits::default()
    });
    // Answers after the whole request.
    let one = serve(|request: Request<Incoming>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(full(body))
    })
    .await;
    let (mut held, body) = Channel::<Bytes, BodyError>::new(1);
    let request = Request::post(one.uri("/")).body(UnsyncBoxBody::new(body));
    let first = tokio::spawn({
        let (egress, request) = (egress.clone(), request.unwrap());
        async move { whole(send(&egress, request).await.unwrap().into_body()).await }
    });
    while egress.connections().iter().all(|count| count.active == 0) {
        tokio::task::yield_now().await;
    }
    let second = tokio::spawn({
        let (egress, uri) = (egress.clone(), one.uri("/"));
        async move { whole(send(&egress, get(&uri)).await.unwrap().into_body()).await }
    });
    while !egress.is_waiting_for_a_connection() {
        tokio::task::yield_now().await;
    }
    held.send_data(Bytes::from_static(b"ok")).await.unwrap();
    drop(held);
    assert_eq!(first.await.unwrap().unwrap(), "ok");
    assert_eq!(second.await.unwrap().unwrap(), "");
    let answer = send(&egress, get(&other.uri("/"))).await.unwrap();
    assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    assert_eq!([one.accepted(), other.accepted()], [1, 1]);
}

#[tokio::test]
async fn a_connection_that_is_in_use_is_never_closed_for_another() {
    let upstream = endless().await;
    let other = ok().await;
    let egress = egress_with(EgressLimits {
        max_connections: 1,
        ..at_once()
    });
    let mut held = send(&egress, get(&upstream.uri("/"))).await.unwrap();
    let refused = send(&egress, get(&other.uri("/"))).await.unwrap_err();
    assert_eq!(limit(refused), Limit::ServiceConnections);
    for _ in 0..100 {
        held.frame().await.unwrap().unwrap();
    }
    assert_eq!(other.accepted(), 0);
}

#[tokio::test]
async fn the_connection_that_was_idle_the_longest_makes_room_for_a_new_one() {
    let (oldest, old, new) = (ok().await, ok().await, ok().await);
    let egress = egress_with(EgressLimits {
        max_connections: 2,
        ..at_once()
    });
    for upstream in [&oldest, &old, &new, &old, &new] {
        let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    let accepted = [&oldest, &old, &new].map(Upstream::accepted);
    assert_eq!(accepted, [1, 1, 1], "one connection is for three requests");
    at_most(2, &[&egress]).await;
    let answer = send(&egress, get(&oldest.uri("/"))).await.unwrap();
    whole(answer.into_body()).await.unwrap();
    assert_eq!(oldest.accepted(), 2);
}

#[tokio::test]
async fn an_idle_connection_of_another_service_makes_room_too() {
    let (one, other) = (ok().await, ok().await);
    let shared = EgressShared::new(SharedLimits {
        max_connections: 1,
        ..SharedLimits::default()
    });
    let first = egress_of("first", at_once(), &shared);
    let second = egress_of("second", at_once(), &shared);
    for _ in 0..3 {
        for (egress, upstream) in [(&first, &one), (&second, &other)] {
            let answer = send(egress, get(&upstream.uri("/"))).await.unwrap();
            assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
            at_most(1, &[&first, &second]).await;
        }
    }
    assert_eq!([one.accepted(), other.accepted()], [3, 3]);
}

#[tokio::test]
async fn who_waits_gets_the_place_of_a_connection_that_becomes_idle() {
    let (one, other) = (endless().await, ok().await);
    let egress = egress_with(EgressLimits {
        max_connections: 1,
        wait: Duration::from_secs(600),
        ..EgressLimits::default()
    });
    let held = send(&egress, get(&one.uri("/"))).await.unwrap();
    let waiting = tokio::spawn({
        let (egress, uri) = (egress.clone(), other.uri("/"));
        async move { send(&egress, get(&uri)).await.map(drop) }
    });
    tokio::task::yield_now().await;
    drop(held);
    waiting.await.unwrap().unwrap();
}

/// Otherwise it could be used on and on after its place was given away.
#[tokio::test]
async fn who_is_given_a_connection_that_is_to_be_closed_is_the_last() {
    let (one, other) = (ok().await, ok().await);
    let egress = egress_with(EgressLimits {
        max_connections: 1,
        wait: Duration::from_secs(600),
        ..EgressLimits::default()
    });
    for (upstream, accepted) in [(&one, 1), (&other, 1), (&one, 1), (&one, 2)] {
        let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
        // The third request's, whether or not the connection still exists.
        assert!(
            upstream.accepted() >= accepted,
            "{} connections",
            upstream.accepted()
        );
        // The pool takes it back asynchronously.
        while egress.connections().iter().any(|count| count.active > 0) {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(one.accepted(), 2);
}

/// Many requests to three upstreams with a limit of four connections: connections are closed for others all
/// the time, and no request may fail because of that.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn making_room_harms_no_request() {
    // They read the whole request: hyper's server closes a connection with an unread request body.
    let reading = || {
        serve(|request: Request<Incoming>| async {
            Response::new(full(
                request.into_body().collect().await.unwrap().to_bytes(),
            ))
        })
    };
    let upstreams = [reading().await, reading().await, reading().await];
    let egress = egress_with(EgressLimits {
        max_connections: 4,
        wait: Duration::from_secs(600),
        ..EgressLimits::default()
    });
    let senders = (0..12).map(|sender| {
        let egress = egress.clone();
        let uris = upstreams.each_ref().map(|upstream| upstream.uri("/"));
        tokio::spawn(async move {
            for turn in 0..25 {
                let uri = &uris[(sender + turn) % uris.len()];
                let request = Request::post(uri).body(full("x")).unwrap();
                let answer = send(&egress, request).await.unwrap();
                assert_eq!(whole(answer.into_body()).await.unwrap(), "x");
            }
        })
    });
    for sender in senders.collect::<Vec<_>>() {
        sender.await.unwrap();
    }
    let totals = egress.totals();
    assert_eq!(totals.reused + totals.new, 300);
}

#[tokio::test]
async fn a_connection_s_place_is_free_when_the_upstream_closes_it() {
    let upstream = listen(|stream: TcpStream| async move { drop(stream) }).await;
    let egress = egress_with(EgressLimits {
        max_connections: 1,
        ..EgressLimits::default()
    });
    for _ in 0..5 {
        let error = send(&egress, get(&upstream.uri("/"))).await.unwrap_err();
        assert!(
            matches!(error, EgressError::ConnectionTerminated(_)),
            "{error:?}"
        );
    }
    assert_eq!(upstream.accepted(), 5);
}

#[tokio::test]
async fn messages_that_are_too_large_are_refused_by_their_part() {
    let limits = EgressLimits {
        request_head: 200,
        response_head: 200,
        response_fields: 3,
        request_body: Some(4),
        response_body: Some(4),
        ..EgressLimits::default()
    };
    let egress = egress_with(limits);
    let upstream = serve(|request: Request<_>| async move {
        let response = Response::builder();
        let body = || full("ok");
        match request.uri().path() {
            "/wide" => response.header("x-wide", "x".repeat(200)).body(body()),
            "/many" => (0..4)
                .fold(response, |response, i| response.header("x", i))
                .body(body()),
            "/long" => response.body(full("12345")),
            "/streamed" => response.body(streamed(["123", "45"])),
            _ => response.body(body()),
        }
        .unwrap()
    })
    .await;
    let kind = async |request: Request<Body>| match send(&egress, request).await {
        Ok(answer) => match whole(answer.into_body()).await {
            Ok(_) => "none",
            Err(error) => error.downcast_ref::<EgressError>().unwrap().kind(),
        },
        Err(error) => error.kind(),
    };
    let to = |path| get(&upstream.uri(path));
    assert_eq!(kind(to("/")).await, "none");
    assert_eq!(kind(to("/wide")).await, "response_head_size");
    assert_eq!(kind(to("/many")).await, "response_head_size");
    assert_eq!(kind(to("/long")).await, "response_body_size");
    assert_eq!(kind(to("/streamed")).await, "response_body_size");
    let post = || Request::post(upstream.uri("/"));
    let wide = post().header("x-wide", "x".repeat(200)).body(full("1"));
    assert_eq!(kind(wide.unwrap()).await, "request_head_size");
    let long = post().body(full("12345")).unwrap();
    assert_eq!(kind(long).await, "request_body_size");
    let streamed = post().body(streamed(["123", "45"])).unwrap();
    assert_eq!(kind(streamed).await, "request_body_size");
}

/// A body of parts without a known length.
fn streamed(parts: [&'static str; 2]) -> Body {
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    tokio::spawn(async move {
        for part in parts {
            let _ = sender.send_data(Bytes::from_static(part.as_bytes())).await;
        }
    });
    UnsyncBoxBody::new(body)
}

#[tokio::test]
async fn what_a_caller_refuses_by_a_limit_of_its_own_is_counted_like_any_other() {
    let egress = egress_with(EgressLimits::default());
    let request = get("http://a.example/");
    let error = egress.refuse(&request, &Attribution::unknown(), Limit::InstanceRequests);
    assert_eq!(limit(error), Limit::InstanceRequests);
    assert_eq!(egress.totals().refused[0], (Limit::InstanceRequests, 1));
}
