use bytes::Bytes;
use headwater_core::{Attribution, BodyError, Counters};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::channel::Channel;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;

use crate::testing::{attributed, egress, get, scope, send, serve, whole};
use crate::transport::ConnectionInfo;
use crate::{Egress, EgressError, EgressParams, Grants, SendOptions};

/// Answers with an empty body and reports the request.
async fn reporting() -> (crate::testing::Upstream, mpsc::UnboundedReceiver<HeaderMap>) {
    let (seen, sees) = mpsc::unbounded_channel();
    let upstream = serve(move |request: Request<_>| {
        seen.send(request.headers().clone()).unwrap();
        async { Response::new(headwater_core::empty()) }
    })
    .await;
    (upstream, sees)
}

#[tokio::test]
async fn ten_requests_in_a_row_take_one_connection() {
    let upstream = serve(|_| async { Response::new(headwater_core::full("ok")) }).await;
    let egress = egress();
    for _ in 0..10 {
        let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn a_response_tells_of_its_connection() {
    let upstream = serve(|_| async { Response::new(headwater_core::empty()) }).await;
    let answer = send(&egress(), get(&upstream.uri("/"))).await.unwrap();
    let info = answer.extensions().get::<ConnectionInfo>().unwrap();
    assert_eq!(info.peer, upstream.address);
    assert!(!info.proxied && !info.unverified);
}

#[tokio::test]
async fn services_share_no_connection() {
    let upstream = serve(|_| async { Response::new(headwater_core::full("ok")) }).await;
    for _ in 0..2 {
        let answer = send(&egress(), get(&upstream.uri("/"))).await.unwrap();
        whole(answer.into_body()).await.unwrap();
    }
    assert_eq!(upstream.accepted(), 2);
}

#[tokio::test]
async fn what_is_not_granted_is_never_dialled() {
    let upstream = serve(|_| async { Response::new(headwater_core::empty()) }).await;
    let port = upstream.address.port();
    let scope = scope();
    let none = Egress::new(EgressParams::new("test"));
    let other_port = Egress::new(EgressParams {
        grants: Grants::parse(["127.0.0.1:1", "https://127.0.0.1", "localhost"]).unwrap(),
        ..EgressParams::new("test")
    });
    for egress in [none, other_port] {
        let request = get(&upstream.uri("/"));
        let error = egress
            .send(request, SendOptions::default(), attributed(&scope))
            .await
            .unwrap_err();
        let EgressError::Denied { destination, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(destination, format!("http://127.0.0.1:{port}"));
    }
    let counters = scope.counters();
    assert_eq!(Counters::get(&counters.outgoing), 0);
    assert_eq!(Counters::get(&counters.outgoing_denied), 2);
    let denial = scope.denial().unwrap().to_string();
    assert!(
        denial.contains(&format!("http://127.0.0.1:{port}")),
        "{denial}"
    );

    // The next connection that the upstream sees is the granted one: the first.
    let granted = Egress::new(EgressParams {
        grants: Grants::parse([format!("http://127.0.0.1:{port}")]).unwrap(),
        ..EgressParams::new("test")
    });
    send(&granted, get(&upstream.uri("/"))).await.unwrap();
    assert_eq!(upstream.accepted(), 1);
}

#[tokio::test]
async fn an_outgoing_request_carries_a_span_of_its_own_under_its_request_s() {
    let (upstream, mut sees) = reporting().await;
    let egress = egress();
    let scope = scope();
    let mut spans = std::collections::HashSet::new();
    for count in 1..=3 {
        egress
            .send(
                get(&upstream.uri("/")),
                SendOptions::default(),
                attributed(&scope),
            )
            .await
            .unwrap();
        let headers = sees.recv().await.unwrap();
        let context = headwater_telemetry::propagation::extract(&headers).unwrap();
        assert_eq!(context.trace_id(), scope.span().trace_id());
        assert_ne!(context.span_id(), scope.span().span_id());
        assert!(spans.insert(context.span_id()));
        assert_eq!(Counters::get(&scope.counters().outgoing), count);
    }
}

#[tokio::test]
async fn a_traceparent_of_the_guest_s_own_is_kept() {
    const OWN: &str = "00-11111111111111111111111111111111-2222222222222222-01";
    let (upstream, mut sees) = reporting().await;
    let mut request = get(&upstream.uri("/"));
    request
        .headers_mut()
        .insert("traceparent", HeaderValue::from_static(OWN));
    request
        .headers_mut()
        .insert("tracestate", HeaderValue::from_static("a=1"));
    egress()
        .send(request, SendOptions::default(), attributed(&scope()))
        .await
        .unwrap();
    let headers = sees.recv().await.unwrap();
    assert_eq!(headers["traceparent"], OWN);
    assert_eq!(headers["tracestate"], "a=1");
}

#[tokio::test]
async fn host_and_the_connection_s_fields_are_not_the_guest_s_to_set() {
    let (upstream, mut sees) = reporting().await;
    let mut request = get(&upstream.uri("/"));
    for (name, value) in [
        ("host", "forged.example"),
        ("connection", "close, x-private"),
        ("x-private", "1"),
        ("upgrade", "websocket"),
        ("transfer-encoding", "gzip"),
        ("te", "gzip"),
        ("x-mine", "1"),
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    send(&egress(), request).await.unwrap();
    let headers = sees.recv().await.unwrap();
    assert_eq!(headers["host"], upstream.address.to_string().as_str());
    let mut names: Vec<_> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cdn-loop", "host", "traceparent", "x-mine"]);
}

#[tokio::test]
async fn a_redirect_is_the_guest_s_business() {
    let elsewhere = serve(|_| async { Response::new(headwater_core::empty()) }).await;
    let location = elsewhere.uri("/");
    for status in [301, 302, 303, 307, 308] {
        let to = location.clone();
        let upstream = serve(move |_| {
            let redirect = Response::builder().status(status).header("location", &to);
            let redirect = redirect.body(headwater_core::empty()).unwrap();
            async { redirect }
        })
        .await;
        let answer = send(&egress(), get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(answer.status(), status);
        assert_eq!(answer.headers()["location"], location);
    }
    assert_eq!(elsewhere.accepted(), 0);
}

#[tokio::test]
async fn bodies_and_trailers_stream_both_ways() {
    let upstream = serve(|request: Request<hyper::body::Incoming>| async {
        Response::new(UnsyncBoxBody::new(
            request.into_body().map_err(BodyError::from),
        ))
    })
    .await;
    let (mut sender, body) = Channel::<Bytes, BodyError>::new(1);
    let request = Request::post(upstream.uri("/"))
        .header("trailer", "x-sum")
        .body(UnsyncBoxBody::new(body))
        .unwrap();
    let mut answer = send(&egress(), request).await.unwrap();
    // Each part comes back before the next is sent.
    for part in ["one", "two"] {
        sender
            .send_data(Bytes::from_static(part.as_bytes()))
            .await
            .unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), part);
    }
    drop(sender);
    assert!(answer.frame().await.is_none());
}

#[tokio::test]
async fn a_kept_connection_that_died_costs_no_request() {
    // Answers once per connection and closes it, which the pool learns late or never.
    let upstream = serve(|_| async {
        Response::builder()
            .header("connection", "close")
            .body(headwater_core::full("ok"))
            .unwrap()
    })
    .await;
    let egress = egress();
    for _ in 0..5 {
        let answer = send(&egress, get(&upstream.uri("/"))).await.unwrap();
        assert_eq!(whole(answer.into_body()).await.unwrap(), "ok");
    }
    assert_eq!(upstream.accepted(), 5);
}

#[tokio::test]
async fn a_request_that_cannot_be_sent_is_refused_before_a_connection() {
    let upstream = serve(|_| async { Response::new(headwater_core::empty()) }).await;
    let egress = egress();
    let with = |method: &str, uri: String, length: &str| {
        Request::builder()
            .method(method)
            .uri(uri)
            .header("content-length", length)
            .body(headwater_core::full("12345"))
            .unwrap()
    };
    for (request, kind) in [
        (with("CONNECT", upstream.uri("/"), "5"), "invalid_method"),
        (with("POST", upstream.uri("/"), "4"), "content_length"),
        (with("POST", upstream.uri("/"), "6"), "content_length"),
        (with("POST", upstream.uri("/"), "+5"), "content_length"),
        (with("POST", "/relative".into(), "5"), "invalid_uri"),
        (with("POST", "ftp://127.0.0.1/".into(), "5"), "invalid_uri"),
        (
            with("POST", "http://user@127.0.0.1/".into(), "5"),
            "invalid_uri",
        ),
        (
            with("POST", "http://127.0.0.1:0/".into(), "5"),
            "invalid_uri",
        ),
    ] {
        let error = egress
            .send(request, SendOptions::default(), Attribution::unknown())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), kind);
    }
    assert_eq!(upstream.accepted(), 0);
}

#[tokio::test]
async fn bytes_both_ways_are_counted_for_the_request_that_they_are_for() {
    let upstream = serve(|request: Request<hyper::body::Incoming>| async {
        let echo = request.into_body().collect().await.unwrap().to_bytes();
        Response::new(headwater_core::full([&echo[..], b"!"].concat()))
    })
    .await;
    let scope = scope();
    let (mut sender, channel) = Channel::<Bytes, BodyError>::new(1);
    let request = Request::post(upstream.uri("/"))
        .body(channel.boxed_unsync())
        .unwrap();
    let egress = egress();
    let (answer, ()) = tokio::join!(
        egress.send(request, SendOptions::default(), attributed(&scope)),
        async {
            sender.send_data("12".into()).await.unwrap();
            sender.send_data("345".into()).await.unwrap();
            drop(sender);
        }
    );
    let answer = whole(answer.unwrap().into_body()).await.unwrap();
    assert_eq!(answer, "12345!");
    let counters = scope.counters();
    assert_eq!(Counters::get(&counters.outgoing_sent_bytes), 5);
    assert_eq!(Counters::get(&counters.outgoing_received_bytes), 6);

    // A body that is complete from the start is counted, too.
    let request = Request::post(upstream.uri("/"))
        .body(headwater_core::full("1"))
        .unwrap();
    let answer = egress
        .send(request, SendOptions::default(), attributed(&scope))
        .await
        .unwrap();
    whole(answer.into_body()).await.unwrap();
    assert_eq!(Counters::get(&counters.outgoing_sent_bytes), 6);
}

#[tokio::test]
async fn a_request_is_counted_when_it_is_made_and_not_when_it_is_sent_and_not_if_it_is_denied() {
    let egress = Egress::new(EgressParams {
        grants: Grants::parse(["http://127.0.0.1:1"]).unwrap(),
        ..EgressParams::new("test")
    });
    let scope = scope();
    let counters = scope.counters();
    let outgoing = || Counters::get(&counters.outgoing);
    let make = |uri: &str| {
        let request = Request::get(uri).body(headwater_core::empty()).unwrap();
        drop(egress.send(request, SendOptions::default(), attributed(&scope)));
    };
    make("http://nobody.granted.example/");
    assert_eq!(outgoing(), 0);
    make("http://127.0.0.1:1/");
    assert_eq!(outgoing(), 1);
    assert_eq!(Counters::get(&counters.outgoing_denied), 1);
}
