use std::time::Duration;

use bytes::Bytes;
use headwater_core::{Fault, RequestId};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::mpsc;

use crate::testing::start_with;
use crate::testing::{LONG, answer_with, each, get, get_h2, h1, h2, params, raw, route, start};
use crate::{BindError, ListenerParams, Server};

async fn text(response: Response<hyper::body::Incoming>) -> String {
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[tokio::test]
async fn each_path_reaches_its_service_over_both_protocols() {
    let server = start_with(
        params(),
        [
            route("/...", answer_with("all")),
            route("/a/...", answer_with("a")),
            route("/a/exact", answer_with("exact")),
        ],
    )
    .await;
    let mut one = h1(server.address).await;
    let mut two = h2(server.address).await;
    for (path, expected) in [
        ("/", "all"),
        ("/ab", "all"),
        ("/a?x=/", "a"),
        ("/a/exact", "exact"),
    ] {
        let answer = one.send_request(get(path)).await.unwrap();
        assert_eq!(text(answer).await, expected, "{path}");
        let answer = two.send_request(get_h2(path)).await.unwrap();
        assert_eq!(text(answer).await, expected, "{path}");
    }
}

#[tokio::test]
async fn the_handler_sees_an_absolute_uri_and_one_scope() {
    let (seen, mut sees) = mpsc::unbounded_channel();
    let server = start(each(move |request, scope| {
        seen.send((request.uri().to_string(), scope)).unwrap();
        async { Ok(Response::new(headwater_core::empty())) }
    }))
    .await;
    let answer = h1(server.address)
        .await
        .send_request(get("/p?q"))
        .await
        .unwrap();
    let (uri, scope) = sees.recv().await.unwrap();
    assert_eq!(uri, "http://x.example/p?q");
    assert_eq!(
        answer.headers()["x-request-id"],
        scope.id().to_string().as_str()
    );
    assert_eq!(&**scope.service(), "test");
    assert_eq!(&**scope.route(), "/...");
    assert!(
        scope
            .client()
            .is_some_and(|client| client.ip().is_loopback())
    );
    assert_eq!(scope.deadline(), scope.started().checked_add(LONG));

    h2(server.address)
        .await
        .send_request(get_h2("/p?q"))
        .await
        .unwrap();
    assert_eq!(sees.recv().await.unwrap().0, "http://x.example/p?q");

    raw(server.address, b"GET /old HTTP/1.0\r\n\r\n").await;
    let (uri, _) = sees.recv().await.unwrap();
    assert_eq!(uri, format!("http://{}/old", server.address));
}

#[tokio::test]
async fn every_answer_carries_the_request_s_own_id_and_nobody_else_s() {
    let server = start(each(|_, _| async {
        let mut response = Response::new(headwater_core::empty());
        let forged = http::HeaderValue::from_static("forged");
        response.headers_mut().insert("x-request-id", forged);
        Ok(response)
    }))
    .await;
    let mut client = h1(server.address).await;
    let mut ids = std::collections::HashSet::new();
    for _ in 0..10 {
        let mut request = get("/");
        request
            .headers_mut()
            .insert("x-request-id", http::HeaderValue::from_static("client"));
        let answer = client.send_request(request).await.unwrap();
        let values: Vec<_> = answer.headers().get_all("x-request-id").iter().collect();
        assert_eq!(values.len(), 1);
        let id = values[0].to_str().unwrap().to_owned();
        assert_eq!(id.len(), RequestId::new().to_string().len());
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn a_fault_is_answered_with_its_status_a_sentence_and_the_id() {
    let server = start(each(|request, _| async move {
        Err(match request.uri().path() {
            "/trap" => Fault::trap().caused_by("secret"),
            "/upstream" => Fault::upstream(),
            _ => Fault::overload("full", Duration::from_millis(1_500)),
        })
    }))
    .await;
    let mut client = h1(server.address).await;
    for (path, status, sentence, retry_after) in [
        ("/trap", 500, "the service failed", None),
        ("/upstream", 502, "a server behind the service failed", None),
        ("/full", 503, "the service is overloaded", Some("2")),
    ] {
        let answer = client.send_request(get(path)).await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.headers()["content-type"], "text/plain");
        let wait = answer
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap());
        assert_eq!(wait, retry_after);
        let id = answer.headers()["x-request-id"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(text(answer).await, format!("{sentence} (request {id})\n"));
    }
}

#[tokio::test]
async fn requests_that_no_service_can_have_get_a_named_answer() {
    let server = start_with(params(), [route("/a", answer_with("a"))]).await;
    for (request, status) in [
        (
            "GET /b HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "404",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            "204",
        ),
        ("GET /a HTTP/1.1\r\nconnection: close\r\n\r\n", "400"),
        (
            "GET /a HTTP/1.1\r\nhost: x\r\nhost: y\r\nconnection: close\r\n\r\n",
            "400",
        ),
        (
            "CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\nconnection: close\r\n\r\n",
            "405",
        ),
        ("GET /a HTTP/1.0\r\n\r\n", "200"),
    ] {
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.") && answer[9..].starts_with(status),
            "{answer}"
        );
        assert!(answer.contains("x-request-id: "), "{answer}");
    }
}

/// RFC 9110, 8.6.
#[tokio::test]
async fn a_204_has_no_length_whoever_asks() {
    let service = each(|_, _| async {
        let response = Response::builder().status(204).header("content-length", 3);
        Ok(response.body(headwater_core::full("xyz")).unwrap())
    });
    let server = start_with(params(), [route("/...", service)]).await;
    for method in ["HEAD", "GET"] {
        let request = format!("{method} / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(server.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        assert!(!answer.contains("content-length"), "{answer}");
    }
}

#[tokio::test]
async fn a_host_that_no_route_holds_for_is_421_and_a_path_of_a_host_that_one_holds_for_is_404() {
    let mut named = route("/a", answer_with("a"));
    named.hosts = vec!["a.example".parse().unwrap()];
    let server = start_with(params(), [named]).await;
    for (target, status, sentence) in [
        ("http://a.example/a", 200, "a"),
        ("http://a.example/b", 404, "no service answers at this path"),
        (
            "http://b.example/a",
            421,
            "no service answers for this host",
        ),
    ] {
        let request = Request::get(target).body(Full::default()).unwrap();
        let answer = h2(server.address)
            .await
            .send_request(request)
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{target}");
        assert!(text(answer).await.starts_with(sentence), "{target}");
    }
}

#[tokio::test]
async fn at_the_deadline_the_handler_is_dropped_and_the_client_answered() {
    let (dropped, mut drops) = mpsc::unbounded_channel::<()>();
    let mut slow = route(
        "/...",
        each(move |_, scope| {
            let dropped = dropped.clone();
            async move {
                let _held = dropped;
                std::future::pending::<()>().await;
                drop(scope);
                unreachable!()
            }
        }),
    );
    slow.timeout = Duration::from_millis(20);
    let server = start_with(params(), [slow]).await;
    let answer = h1(server.address)
        .await
        .send_request(get("/"))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    drop(server.outcome);
    server.shutdown.cancel();
    // All senders are dropped: the future's, and with the server the closure's.
    assert_eq!(drops.recv().await, None);
}

#[tokio::test]
async fn timeouts_of_zero_and_of_ages_are_served_without_a_panic() {
    let mut never = route("/zero", each(|_, _| std::future::pending()));
    never.timeout = Duration::ZERO;
    let mut ages = route("/ages", answer_with("ages"));
    ages.timeout = Duration::MAX;
    let server = start_with(params(), [never, ages]).await;
    let mut client = h1(server.address).await;
    let answer = client.send_request(get("/zero")).await.unwrap();
    assert_eq!(answer.status(), StatusCode::GATEWAY_TIMEOUT);
    text(answer).await;
    let answer = client.send_request(get("/ages")).await.unwrap();
    assert_eq!(text(answer).await, "ages");
}

#[tokio::test]
async fn a_panic_is_answered_and_the_connection_lives_on() {
    let server = start(each(|request, _| {
        assert_ne!(request.uri().path(), "/at-once", "on purpose");
        async move {
            assert_ne!(request.uri().path(), "/later", "on purpose");
            Ok(Response::new(headwater_core::full("fine")))
        }
    }))
    .await;
    let mut client = h1(server.address).await;
    for path in ["/at-once", "/later"] {
        let answer = client.send_request(get(path)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert!(
            text(answer)
                .await
                .starts_with("the server failed (request ")
        );
    }
    let answer = client.send_request(get("/")).await.unwrap();
    assert_eq!(text(answer).await, "fine");
}

#[tokio::test]
async fn fields_of_the_connection_are_not_the_service_s_to_set() {
    let server = start(each(|_, _| async {
        Ok(Response::builder()
            .header("connection", "close, x-private")
            .header("x-private", "1")
            .header("transfer-encoding", "gzip, chunked")
            .header("keep-alive", "timeout=1")
            .header("upgrade", "websocket")
            .header("proxy-connection", "close")
            .header("te", "trailers")
            .header("x-mine", "1")
            .body(headwater_core::full("body"))
            .unwrap())
    }))
    .await;
    let mut client = h1(server.address).await;
    for _ in 0..2 {
        let answer = client.send_request(get("/")).await.unwrap();
        let mut names: Vec<_> = answer
            .headers()
            .keys()
            .map(|name| name.to_string())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "date", "x-mine", "x-request-id"]);
        assert_eq!(text(answer).await, "body");
    }
}

#[tokio::test]
async fn an_interim_status_is_no_answer() {
    let server = start(each(|_, _| async {
        Ok(Response::builder()
            .status(101)
            .body(headwater_core::empty())
            .unwrap())
    }))
    .await;
    let answer = h1(server.address)
        .await
        .send_request(get("/"))
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn head_and_not_modified_keep_the_length_of_the_body_they_do_not_have() {
    let server = start(each(|_, _| async {
        Ok(Response::builder()
            .header("content-length", "1000")
            .body(headwater_core::empty())
            .unwrap())
    }))
    .await;
    let mut client = h1(server.address).await;
    for _ in 0..2 {
        let mut request: Request<Full<Bytes>> = get("/");
        *request.method_mut() = http::Method::HEAD;
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.headers()["content-length"], "1000");
        assert_eq!(text(answer).await, "");
    }
}

#[tokio::test]
async fn an_address_in_use_is_named_with_the_way_out() {
    let first = Server::bind(params()).await.unwrap();
    let mut second = params();
    let taken = crate::testing::address(&first);
    second.listeners = vec![ListenerParams::at(taken)];
    let error = Server::bind(second).await.unwrap_err();
    assert!(matches!(error, BindError::AddressInUse { .. }));
    let error = error.to_string();
    for part in [
        &format!("cannot listen on {taken}"),
        "address in use",
        "--listen 127.0.0.1:0",
    ] {
        assert!(error.contains(part), "{error}");
    }
}
